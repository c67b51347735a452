//go:build !purego

#include "textflag.h"

// Registers of all loops:
//
//	R0, R1    dots and in, of this block
//	R2, R8    the query or queries, and the next value of each
//	R4, R5    the rows, their sizes
//	R6, R9    values of a row, and how many are left
//	R7        panels or blocks to go
//	R10       the bits of 16 rows
//
// As on amd64, a panel's value is one line of 16 rows, here in four vectors, and
// a lane never meets another.

// What the assembler has no name for; vectors of four float32.
#define FADD(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))  // d = n + m
#define FCMGT(m, n, d) WORD $(0x6EA0E400 | (m)<<16 | (n)<<5 | (d)) // d = n > m, a mask
#define BIC(m, n, d) WORD $(0x4E601C00 | (m)<<16 | (n)<<5 | (d))   // d = n and not m
#define ORR(m, n, d) WORD $(0x4EA01C00 | (m)<<16 | (n)<<5 | (d))

// d += n m[i]; bits of i are in two places.
#define FMLA(m, i, n, d) WORD $(0x4F801000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))

// The line in n to n+3, for the query's value m[i], onto d to d+3.
#define LINE(m, i, n, d) \
	FMLA(m, i, n, d);     \
	FMLA(m, i, n+1, d+1); \
	FMLA(m, i, n+2, d+2); \
	FMLA(m, i, n+3, d+3)

#define ADD4(m, d) \
	FADD(m, d, d);       \
	FADD(m+1, d+1, d+1); \
	FADD(m+2, d+2, d+2); \
	FADD(m+3, d+3, d+3)

#define ZERO4(A, B, C, D) \
	VEOR A.B16, A.B16, A.B16; \
	VEOR B.B16, B.B16, B.B16; \
	VEOR C.B16, C.B16, C.B16; \
	VEOR D.B16, D.B16, D.B16

// The bits in R11 of the rows that are in: their dot products are in V0 to V3,
// their sizes in V4 to V7, the cut in V30 and V31, the bits in V26 to V29. A
// row is in unless its left side is less than the limit: not less may be not a
// number.
#define CUT \
	VFMLS V30.S4, V4.S4, V0.S4; \
	VFMLS V30.S4, V5.S4, V1.S4; \
	VFMLS V30.S4, V6.S4, V2.S4; \
	VFMLS V30.S4, V7.S4, V3.S4; \
	FCMGT(0, 31, 0);            \
	FCMGT(1, 31, 1);            \
	FCMGT(2, 31, 2);            \
	FCMGT(3, 31, 3);            \
	BIC(0, 26, 0);              \
	BIC(1, 27, 1);              \
	BIC(2, 28, 2);              \
	BIC(3, 29, 3);              \
	ORR(1, 0, 0);               \
	ORR(3, 2, 2);               \
	ORR(2, 0, 0);               \
	VADDV V0.S4, V0;            \
	VMOV V0.S[0], R11

DATA ·rowBits+0(SB)/8, $0x0000000200000001
DATA ·rowBits+8(SB)/8, $0x0000000800000004
DATA ·rowBits+16(SB)/8, $0x0000002000000010
DATA ·rowBits+24(SB)/8, $0x0000008000000040
DATA ·rowBits+32(SB)/8, $0x0000020000000100
DATA ·rowBits+40(SB)/8, $0x0000080000000400
DATA ·rowBits+48(SB)/8, $0x0000200000001000
DATA ·rowBits+56(SB)/8, $0x0000800000004000
GLOBL ·rowBits(SB), RODATA|NOPTR, $64

// func scan1NEON(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)
TEXT ·scan1NEON(SB), NOSPLIT, $0-64
	MOVD dots+0(FP), R0
	MOVD in+8(FP), R1
	MOVD q+16(FP), R2
	MOVD cut+24(FP), R3
	MOVD rows+32(FP), R4
	MOVD sizes+40(FP), R5
	MOVD dim+48(FP), R6
	MOVD panels+56(FP), R7
	MOVD $·rowBits(SB), R10
	VLD1 (R10), [V26.S4, V27.S4, V28.S4, V29.S4]
	VLD1R.P 4(R3), [V30.S4]
	VLD1R (R3), [V31.S4]

panel:
	MOVD R2, R8
	ZERO4(V0, V1, V2, V3)
	ZERO4(V4, V5, V6, V7)
	ZERO4(V8, V9, V10, V11)
	ZERO4(V12, V13, V14, V15)
	SUBS $4, R6, R9
	BLT rest

four:
	PRFM 2048(R4), PLDL1KEEP
	PRFM 2176(R4), PLDL1KEEP
	VLD1.P 16(R8), [V16.S4]
	VLD1.P 64(R4), [V17.S4, V18.S4, V19.S4, V20.S4]
	VLD1.P 64(R4), [V21.S4, V22.S4, V23.S4, V24.S4]
	LINE(16, 0, 17, 0)
	LINE(16, 1, 21, 4)
	VLD1.P 64(R4), [V17.S4, V18.S4, V19.S4, V20.S4]
	VLD1.P 64(R4), [V21.S4, V22.S4, V23.S4, V24.S4]
	LINE(16, 2, 17, 8)
	LINE(16, 3, 21, 12)
	SUBS $4, R9, R9
	BGE four

rest:
	ADDS $4, R9, R9
	BEQ sum

one:
	VLD1R.P 4(R8), [V16.S4]
	VLD1.P 64(R4), [V17.S4, V18.S4, V19.S4, V20.S4]
	LINE(16, 0, 17, 0)
	SUBS $1, R9, R9
	BNE one

sum:
	ADD4(4, 0)
	ADD4(12, 8)
	ADD4(8, 0)
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VLD1.P 64(R5), [V4.S4, V5.S4, V6.S4, V7.S4]
	CUT
	MOVH.P R11, 2(R1)
	SUBS $1, R7, R7
	BNE panel
	RET

// Stores a query's 16 dot products.
#define STORE(A, B, C, D) VST1.P [A.S4, B.S4, C.S4, D.S4], (R12)(R13)

// The bits of the next query.
#define NEXTCUT \
	VLD1.P (R12)(R13), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	VLD1R.P 4(R15), [V30.S4];                        \
	VLD1R.P 4(R19), [V31.S4];                        \
	CUT;                                             \
	MOVH.P R11, 8(R14)

// func scanGroupNEON(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)
TEXT ·scanGroupNEON(SB), NOSPLIT, $0-80
	MOVD dots+0(FP), R0
	MOVD in+8(FP), R1
	MOVD group+16(FP), R2
	MOVD cuts+24(FP), R3
	MOVD rows+32(FP), R4
	MOVD sizes+40(FP), R5
	MOVD dim+48(FP), R6
	MOVD blocks+56(FP), R7
	MOVD ahead+64(FP), R21
	MOVD step+72(FP), R22
	MOVD $·rowBits(SB), R10
	MOVD $256, R13

block:
	MOVD $4, R20 // panels to go

panel:
	MOVD R2, R8
	MOVD R6, R9
	ZERO4(V0, V1, V2, V3)
	ZERO4(V4, V5, V6, V7)
	ZERO4(V8, V9, V10, V11)
	ZERO4(V12, V13, V14, V15)
	ZERO4(V16, V17, V18, V19)
	ZERO4(V20, V21, V22, V23)

line:
	PRFM (R21), PLDL2KEEP
	ADD R22, R21
	VLD1.P 64(R4), [V24.S4, V25.S4, V26.S4, V27.S4]
	VLD1.P 16(R8), [V28.S4]
	FMOVD.P 8(R8), F29
	LINE(28, 0, 24, 0)
	LINE(28, 1, 24, 4)
	LINE(28, 2, 24, 8)
	LINE(28, 3, 24, 12)
	LINE(29, 0, 24, 16)
	LINE(29, 1, 24, 20)
	SUBS $1, R9, R9
	BNE line

	MOVD R0, R12
	STORE(V0, V1, V2, V3)
	STORE(V4, V5, V6, V7)
	STORE(V8, V9, V10, V11)
	STORE(V12, V13, V14, V15)
	STORE(V16, V17, V18, V19)
	STORE(V20, V21, V22, V23)

	VLD1 (R10), [V26.S4, V27.S4, V28.S4, V29.S4]
	VLD1.P 64(R5), [V4.S4, V5.S4, V6.S4, V7.S4]
	MOVD R0, R12
	MOVD R1, R14
	MOVD R3, R15
	ADD $52, R3, R19
	NEXTCUT
	NEXTCUT
	NEXTCUT
	NEXTCUT
	NEXTCUT
	NEXTCUT
	ADD $64, R0
	ADD $2, R1
	SUBS $1, R20, R20
	BNE panel

	ADD $1280, R0 // of 6 x 256, 256 are behind
	ADD $40, R1   // of 6 x 8, 8 are behind
	SUBS $1, R7, R7
	BNE block
	RET
