//go:build !purego

#include "textflag.h"

// Registers are those of scan_amd64.s, and R9 to R11 the panels after R8's.

#define NLT $0x15 // see there

// One line, at off, of a panel for one query.
#define LINE_AVX512(line, value, V, A) \
	VMOVUPS line(R8), V;              \
	VFMADD231PS.BCST value(BX), V, A

// func scan1AVX512(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)
TEXT ·scan1AVX512(SB), NOSPLIT, $0-64
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ q+16(FP), SI
	MOVQ cut+24(FP), R12
	MOVQ rows+32(FP), R8
	MOVQ sizes+40(FP), R14
	MOVQ dim+48(FP), DX
	MOVQ panels+56(FP), R15
	VBROADCASTSS (R12), Z14
	VBROADCASTSS 4(R12), Z15

panel:
	MOVQ SI, BX
	MOVQ DX, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	SUBQ $4, CX
	JLT  rest

four:
	PREFETCHT0 8192(R8)
	PREFETCHT0 8256(R8)
	PREFETCHT0 8320(R8)
	PREFETCHT0 8384(R8)
	LINE_AVX512(0, 0, Z8, Z0)
	LINE_AVX512(64, 4, Z9, Z1)
	LINE_AVX512(128, 8, Z10, Z2)
	LINE_AVX512(192, 12, Z11, Z3)
	ADDQ $256, R8
	ADDQ $16, BX
	SUBQ $4, CX
	JGE  four

rest:
	ADDQ $4, CX
	JZ   sum

one:
	LINE_AVX512(0, 0, Z8, Z0)
	ADDQ $64, R8
	ADDQ $4, BX
	DECQ CX
	JNZ  one

sum:
	VADDPS Z1, Z0, Z0
	VADDPS Z3, Z2, Z2
	VADDPS Z2, Z0, Z0
	VMOVUPS Z0, (DI)
	VFNMADD231PS (R14), Z14, Z0
	VCMPPS NLT, Z15, Z0, K1
	KMOVW K1, (R13)
	ADDQ $64, DI
	ADDQ $64, R14
	ADDQ $2, R13
	DECQ R15
	JNZ  panel
	VZEROUPPER
	RET

// The lines in Z24 to Z27, one of each panel, for one query of the group.
#define QUERY_AVX512(value, Q, A, B, C, D) \
	VBROADCASTSS value(BX), Q;  \
	VFMADD231PS Z24, Q, A;      \
	VFMADD231PS Z25, Q, B;      \
	VFMADD231PS Z26, Q, C;      \
	VFMADD231PS Z27, Q, D

// Line off of the four panels for the group, whose values are at value.
#define LINES_AVX512(line, value) \
	VMOVUPS line(R8)(AX*1), Z24;                        \
	VMOVUPS line(R9)(AX*1), Z25;                        \
	VMOVUPS line(R10)(AX*1), Z26;                       \
	VMOVUPS line(R11)(AX*1), Z27;                       \
	QUERY_AVX512(value, Z28, Z0, Z1, Z2, Z3);           \
	QUERY_AVX512(value+4, Z29, Z4, Z5, Z6, Z7);         \
	QUERY_AVX512(value+8, Z30, Z8, Z9, Z10, Z11);       \
	QUERY_AVX512(value+12, Z31, Z12, Z13, Z14, Z15);    \
	QUERY_AVX512(value+16, Z28, Z16, Z17, Z18, Z19);    \
	QUERY_AVX512(value+20, Z29, Z20, Z21, Z22, Z23)

#define ZERO4(A, B, C, D) \
	VPXORD A, A, A; \
	VPXORD B, B, B; \
	VPXORD C, C, C; \
	VPXORD D, D, D

// Stores query j's 64 dot products, and their bits; the rows' sizes are in
// Z24 to Z27.
#define CUT_AVX512(j, A, B, C, D) \
	VMOVUPS A, 256*j(DI);           \
	VMOVUPS B, 256*j+64(DI);        \
	VMOVUPS C, 256*j+128(DI);       \
	VMOVUPS D, 256*j+192(DI);       \
	VBROADCASTSS 4*j(R12), Z28;     \
	VBROADCASTSS 52+4*j(R12), Z29;  \
	VFNMADD231PS Z24, Z28, A;       \
	VFNMADD231PS Z25, Z28, B;       \
	VFNMADD231PS Z26, Z28, C;       \
	VFNMADD231PS Z27, Z28, D;       \
	VCMPPS NLT, Z29, A, K1;         \
	VCMPPS NLT, Z29, B, K2;         \
	VCMPPS NLT, Z29, C, K3;         \
	VCMPPS NLT, Z29, D, K4;         \
	KMOVW K1, 8*j(R13);             \
	KMOVW K2, 8*j+2(R13);           \
	KMOVW K3, 8*j+4(R13);           \
	KMOVW K4, 8*j+6(R13)

// func scanGroupAVX512(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)
TEXT ·scanGroupAVX512(SB), NOSPLIT, $0-80
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ group+16(FP), SI
	MOVQ cuts+24(FP), R12
	MOVQ rows+32(FP), R8
	MOVQ sizes+40(FP), R14
	MOVQ dim+48(FP), DX
	MOVQ ahead+64(FP), CX
	MOVQ step+72(FP), R15
	SHLQ $6, DX

block:
	ADDQ DX, R8
	LEAQ (R8)(DX*1), R9
	LEAQ (R9)(DX*1), R10
	LEAQ (R10)(DX*1), R11
	MOVQ SI, BX
	MOVQ DX, AX
	NEGQ AX // the rows' pointers are at their panels' ends
	ZERO4(Z0, Z1, Z2, Z3)
	ZERO4(Z4, Z5, Z6, Z7)
	ZERO4(Z8, Z9, Z10, Z11)
	ZERO4(Z12, Z13, Z14, Z15)
	ZERO4(Z16, Z17, Z18, Z19)
	ZERO4(Z20, Z21, Z22, Z23)
	TESTQ $64, DX
	JZ    two

	LINES_AVX512(0, 0)
	ADDQ $24, BX
	ADDQ $64, AX
	JZ   cut

two: // at a time, so that counting takes little of what multiplies
	PREFETCHT1 (CX)
	PREFETCHT1 (CX)(R15*1)
	LEAQ (CX)(R15*2), CX
	LINES_AVX512(0, 0)
	LINES_AVX512(64, 24)
	ADDQ $48, BX
	ADDQ $128, AX
	JNZ  two

cut:
	VMOVUPS (R14), Z24
	VMOVUPS 64(R14), Z25
	VMOVUPS 128(R14), Z26
	VMOVUPS 192(R14), Z27
	CUT_AVX512(0, Z0, Z1, Z2, Z3)
	CUT_AVX512(1, Z4, Z5, Z6, Z7)
	CUT_AVX512(2, Z8, Z9, Z10, Z11)
	CUT_AVX512(3, Z12, Z13, Z14, Z15)
	CUT_AVX512(4, Z16, Z17, Z18, Z19)
	CUT_AVX512(5, Z20, Z21, Z22, Z23)
	ADDQ $1536, DI
	ADDQ $48, R13
	ADDQ $256, R14
	MOVQ R11, R8
	DECQ blocks+56(FP)
	JNZ  block
	VZEROUPPER
	RET

// The lines in Z26 and Z27, one of each of two panels, for one query of a large
// group. A value is spread by an instruction of its own, or by both that multiply,
// which is one instruction less and one load more: with all of either kind,
// instructions or loads would be what takes the time.
#define SPREAD_AVX512(value, Q, A, B) \
	VBROADCASTSS value(BX), Q;  \
	VFMADD231PS Z26, Q, A;      \
	VFMADD231PS Z27, Q, B

#define QUERY2_AVX512(value, A, B) \
	VFMADD231PS.BCST value(BX), Z26, A; \
	VFMADD231PS.BCST value(BX), Z27, B

// Line off of two panels for the large group, whose values are at value.
#define LINES2_AVX512(line, value) \
	VMOVUPS line(R8)(AX*1), Z26;                  \
	VMOVUPS line(R9)(AX*1), Z27;                  \
	QUERY2_AVX512(value, Z0, Z1); \
	SPREAD_AVX512(value+4, Z28, Z2, Z3); \
	QUERY2_AVX512(value+8, Z4, Z5); \
	QUERY2_AVX512(value+12, Z6, Z7); \
	SPREAD_AVX512(value+16, Z29, Z8, Z9); \
	QUERY2_AVX512(value+20, Z10, Z11); \
	QUERY2_AVX512(value+24, Z12, Z13); \
	SPREAD_AVX512(value+28, Z30, Z14, Z15); \
	QUERY2_AVX512(value+32, Z16, Z17); \
	QUERY2_AVX512(value+36, Z18, Z19); \
	SPREAD_AVX512(value+40, Z31, Z20, Z21); \
	QUERY2_AVX512(value+44, Z22, Z23); \
	QUERY2_AVX512(value+48, Z24, Z25)

// Stores query j's dot products of two panels, and their bits; the rows' sizes
// are in Z26 and Z27.
#define CUT2_AVX512(j, A, B) \
	VMOVUPS A, 256*j(DI);                   \
	VMOVUPS B, 256*j+64(DI);                \
	VFNMADD231PS.BCST 4*j(R12), Z26, A;     \
	VFNMADD231PS.BCST 4*j(R12), Z27, B;     \
	VCMPPS.BCST NLT, 52+4*j(R12), A, K1;    \
	VCMPPS.BCST NLT, 52+4*j(R12), B, K2;    \
	KMOVW K1, 8*j(R13);                     \
	KMOVW K2, 8*j+2(R13)

// func scanLargeGroupAVX512(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)
TEXT ·scanLargeGroupAVX512(SB), NOSPLIT, $0-80
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ group+16(FP), SI
	MOVQ cuts+24(FP), R12
	MOVQ rows+32(FP), R8
	MOVQ sizes+40(FP), R14
	MOVQ dim+48(FP), DX
	MOVQ ahead+64(FP), CX
	MOVQ step+72(FP), R15
	SHLQ $6, DX

block:
	MOVQ $2, R10 // pairs of panels to go

pair:
	ADDQ DX, R8
	LEAQ (R8)(DX*1), R9
	MOVQ SI, BX
	MOVQ DX, AX
	NEGQ AX // the rows' pointers are at their panels' ends
	ZERO4(Z0, Z1, Z2, Z3)
	ZERO4(Z4, Z5, Z6, Z7)
	ZERO4(Z8, Z9, Z10, Z11)
	ZERO4(Z12, Z13, Z14, Z15)
	ZERO4(Z16, Z17, Z18, Z19)
	ZERO4(Z20, Z21, Z22, Z23)
	VPXORD Z24, Z24, Z24
	VPXORD Z25, Z25, Z25
	MOVQ DX, R11
	ANDQ $192, R11 // lines that are not four at a time
	JZ   four

one:
	PREFETCHT1 (CX)
	ADDQ R15, CX
	LINES2_AVX512(0, 0)
	ADDQ $52, BX
	ADDQ $64, AX
	SUBQ $64, R11
	JNZ  one
	TESTQ AX, AX
	JZ   cut

four: // at a time, so that counting takes little of what multiplies
	PREFETCHT1 (CX)
	ADDQ R15, CX
	LINES2_AVX512(0, 0)
	LINES2_AVX512(64, 52)
	LINES2_AVX512(128, 104)
	LINES2_AVX512(192, 156)
	ADDQ $208, BX
	ADDQ $256, AX
	JNZ  four

cut:
	VMOVUPS (R14), Z26
	VMOVUPS 64(R14), Z27
	CUT2_AVX512(0, Z0, Z1)
	CUT2_AVX512(1, Z2, Z3)
	CUT2_AVX512(2, Z4, Z5)
	CUT2_AVX512(3, Z6, Z7)
	CUT2_AVX512(4, Z8, Z9)
	CUT2_AVX512(5, Z10, Z11)
	CUT2_AVX512(6, Z12, Z13)
	CUT2_AVX512(7, Z14, Z15)
	CUT2_AVX512(8, Z16, Z17)
	CUT2_AVX512(9, Z18, Z19)
	CUT2_AVX512(10, Z20, Z21)
	CUT2_AVX512(11, Z22, Z23)
	CUT2_AVX512(12, Z24, Z25)
	ADDQ $128, DI
	ADDQ $128, R14
	ADDQ $4, R13
	MOVQ R9, R8
	DECQ R10
	JNZ  pair

	ADDQ $3072, DI // of 13 x 256, 256 are behind
	ADDQ $96, R13  // of 13 x 8, 8 are behind
	DECQ blocks+56(FP)
	JNZ  block
	VZEROUPPER
	RET
