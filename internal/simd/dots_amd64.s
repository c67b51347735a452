//go:build !purego

#include "textflag.h"

// The loops walk over blocks of 4 rows, and in a block over the values of the
// 4 rows side by side. Registers:
//
//	R8 to R11  the 4 rows
//	R12        a row's bytes
//	SI, BX     the queries
//	DI, R13    the destinations
//	AX         the offset within the row; DX, CX where it ends: CX whole vectors
//	R15        blocks to go
//
// Each row's sum has a register (two in the loops for one query, which would
// otherwise wait for the additions), and the 4 sums of 8 lanes are added up
// together. What remains of a row after whole vectors is loaded under a mask.

// 8 lanes on, 8 lanes off: loaded from lane 8-n on, the first n are on.
DATA lanes<>+0(SB)/8, $-1
DATA lanes<>+8(SB)/8, $-1
DATA lanes<>+16(SB)/8, $-1
DATA lanes<>+24(SB)/8, $-1
DATA lanes<>+32(SB)/8, $0
DATA lanes<>+40(SB)/8, $0
DATA lanes<>+48(SB)/8, $0
DATA lanes<>+56(SB)/8, $0
GLOBL lanes<>(SB), RODATA|NOPTR, $64

// Sets Y12 to the mask of the last DX mod 8 values.
#define MASK_AVX2 \
	MOVQ DX, AX;          \
	ANDQ $7, AX;          \
	LEAQ lanes<>(SB), CX; \
	SUBQ AX, CX;          \
	SUBQ AX, CX;          \
	SUBQ AX, CX;          \
	SUBQ AX, CX;          \
	VMOVDQU 32(CX), Y12

// Sets K1 to the mask of the last DX mod 16 values.
#define MASK_AVX512 \
	MOVQ DX, CX;  \
	ANDQ $15, CX; \
	MOVL $1, AX;  \
	SHLL CX, AX;  \
	DECL AX;      \
	KMOVW AX, K1

#define ROWS \
	LEAQ (R8)(R12*1), R9;   \
	LEAQ (R9)(R12*1), R10;  \
	LEAQ (R10)(R12*1), R11; \
	XORL AX, AX

#define ZERO8(A, B, C, D, E, F, G, H) \
	VXORPS A, A, A; \
	VXORPS B, B, B; \
	VXORPS C, C, C; \
	VXORPS D, D, D; \
	VXORPS E, E, E; \
	VXORPS F, F, F; \
	VXORPS G, G, G; \
	VXORPS H, H, H

// One vector, at off, of the query and the 4 rows.
#define STEP1(off, Q, A, B, C, D) \
	VMOVUPS off(SI)(AX*1), Q;          \
	VFMADD231PS off(R8)(AX*1), Q, A;   \
	VFMADD231PS off(R9)(AX*1), Q, B;   \
	VFMADD231PS off(R10)(AX*1), Q, C;  \
	VFMADD231PS off(R11)(AX*1), Q, D

// One vector of two queries (P, Q) and the 4 rows (by way of V).
#define STEP2(P, Q, V, A, B, C, D, E, F, G, H) \
	VMOVUPS (SI)(AX*1), P;  \
	VMOVUPS (BX)(AX*1), Q;  \
	VMOVUPS (R8)(AX*1), V;  \
	VFMADD231PS V, P, A;    \
	VFMADD231PS V, Q, E;    \
	VMOVUPS (R9)(AX*1), V;  \
	VFMADD231PS V, P, B;    \
	VFMADD231PS V, Q, F;    \
	VMOVUPS (R10)(AX*1), V; \
	VFMADD231PS V, P, C;    \
	VFMADD231PS V, Q, G;    \
	VMOVUPS (R11)(AX*1), V; \
	VFMADD231PS V, P, D;    \
	VFMADD231PS V, Q, H

// The rest of a row under the mask Y12, for the query in P.
#define REST_AVX2(base, A) \
	VMASKMOVPS (base)(AX*1), Y12, Y10; \
	VFMADD231PS Y10, Y8, A

#define REST2_AVX2(base, A, E) \
	VMASKMOVPS (base)(AX*1), Y12, Y10; \
	VFMADD231PS Y10, Y8, A;            \
	VFMADD231PS Y10, Y9, E

#define REST_AVX512(base, A) \
	VMOVUPS.Z (base)(AX*1), K1, Z10; \
	VFMADD231PS Z10, Z8, A

#define REST2_AVX512(base, A, E) \
	VMOVUPS.Z (base)(AX*1), K1, Z10; \
	VFMADD231PS Z10, Z8, A;          \
	VFMADD231PS Z10, Z9, E

// Adds Z's upper half to its lower half Y.
#define FOLD(Z, Y) \
	VEXTRACTF64X4 $1, Z, Y11; \
	VADDPS Y11, Y, Y

// Stores the sums of the lanes of A, B, C, D (X is A's lower half).
#define STORE(A, X, B, C, D, dst) \
	VHADDPS B, A, A;          \
	VHADDPS D, C, C;          \
	VHADDPS C, A, A;          \
	VEXTRACTF128 $1, A, X11;  \
	VADDPS X11, X, X;         \
	VMOVUPS X, (dst);         \
	ADDQ $16, dst

// A block of rows ahead is fetched meanwhile, a cache line a row. Beyond the
// last row this asks for nothing that is there, which does no harm.
#define FETCH \
	LEAQ (R8)(AX*1), CX;     \
	PREFETCHT0 (CX)(R12*4);  \
	LEAQ (R9)(AX*1), CX;     \
	PREFETCHT0 (CX)(R12*4);  \
	LEAQ (R10)(AX*1), CX;    \
	PREFETCHT0 (CX)(R12*4);  \
	LEAQ (R11)(AX*1), CX;    \
	PREFETCHT0 (CX)(R12*4)

// func dots1AVX2(dst, q, rows *float32, dim, blocks int)
TEXT ·dots1AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ q+8(FP), SI
	MOVQ rows+16(FP), R8
	MOVQ dim+24(FP), DX
	MOVQ blocks+32(FP), R15
	MASK_AVX2
	SHLQ $2, DX
	MOVQ DX, R12
	MOVQ DX, R13
	ANDQ $-64, R13 // pairs of vectors end here
	ANDQ $-32, DX  // whole vectors end here

block:
	ROWS
	ZERO8(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	CMPQ AX, R13
	JGE  one

pair:
	STEP1(0, Y8, Y0, Y1, Y2, Y3)
	STEP1(32, Y9, Y4, Y5, Y6, Y7)
	FETCH
	ADDQ $64, AX
	CMPQ AX, R13
	JLT  pair

one:
	CMPQ AX, DX
	JGE  rest
	STEP1(0, Y8, Y0, Y1, Y2, Y3)
	ADDQ $32, AX

rest:
	CMPQ AX, R12
	JGE  store
	VMASKMOVPS (SI)(AX*1), Y12, Y8
	REST_AVX2(R8, Y4)
	REST_AVX2(R9, Y5)
	REST_AVX2(R10, Y6)
	REST_AVX2(R11, Y7)

store:
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	VADDPS Y6, Y2, Y2
	VADDPS Y7, Y3, Y3
	STORE(Y0, X0, Y1, Y2, Y3, DI)
	LEAQ (R11)(R12*1), R8
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET

// func dots2AVX2(dst0, dst1, q0, q1, rows *float32, dim, blocks int)
TEXT ·dots2AVX2(SB), NOSPLIT, $0-56
	MOVQ dst0+0(FP), DI
	MOVQ dst1+8(FP), R13
	MOVQ q0+16(FP), SI
	MOVQ q1+24(FP), BX
	MOVQ rows+32(FP), R8
	MOVQ dim+40(FP), DX
	MOVQ blocks+48(FP), R15
	MASK_AVX2
	SHLQ $2, DX
	MOVQ DX, R12
	ANDQ $-32, DX

block:
	ROWS
	ZERO8(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	CMPQ AX, DX
	JGE  rest

one:
	STEP2(Y8, Y9, Y10, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	ADDQ $32, AX
	CMPQ AX, DX
	JLT  one

rest:
	CMPQ AX, R12
	JGE  store
	VMASKMOVPS (SI)(AX*1), Y12, Y8
	VMASKMOVPS (BX)(AX*1), Y12, Y9
	REST2_AVX2(R8, Y0, Y4)
	REST2_AVX2(R9, Y1, Y5)
	REST2_AVX2(R10, Y2, Y6)
	REST2_AVX2(R11, Y3, Y7)

store:
	STORE(Y0, X0, Y1, Y2, Y3, DI)
	STORE(Y4, X4, Y5, Y6, Y7, R13)
	LEAQ (R11)(R12*1), R8
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET

// func dots1AVX512(dst, q, rows *float32, dim, blocks int)
TEXT ·dots1AVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ q+8(FP), SI
	MOVQ rows+16(FP), R8
	MOVQ dim+24(FP), DX
	MOVQ blocks+32(FP), R15
	MASK_AVX512
	SHLQ $2, DX
	MOVQ DX, R12
	ANDQ $-64, DX

block:
	ROWS
	ZERO8(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	CMPQ AX, DX
	JGE  rest

one:
	STEP1(0, Z8, Z0, Z1, Z2, Z3)
	FETCH
	ADDQ $64, AX
	CMPQ AX, DX
	JLT  one

rest:
	CMPQ AX, R12
	JGE  store
	VMOVUPS.Z (SI)(AX*1), K1, Z8
	REST_AVX512(R8, Z0)
	REST_AVX512(R9, Z1)
	REST_AVX512(R10, Z2)
	REST_AVX512(R11, Z3)

store:
	FOLD(Z0, Y0)
	FOLD(Z1, Y1)
	FOLD(Z2, Y2)
	FOLD(Z3, Y3)
	STORE(Y0, X0, Y1, Y2, Y3, DI)
	LEAQ (R11)(R12*1), R8
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET

// func dots2AVX512(dst0, dst1, q0, q1, rows *float32, dim, blocks int)
TEXT ·dots2AVX512(SB), NOSPLIT, $0-56
	MOVQ dst0+0(FP), DI
	MOVQ dst1+8(FP), R13
	MOVQ q0+16(FP), SI
	MOVQ q1+24(FP), BX
	MOVQ rows+32(FP), R8
	MOVQ dim+40(FP), DX
	MOVQ blocks+48(FP), R15
	MASK_AVX512
	SHLQ $2, DX
	MOVQ DX, R12
	ANDQ $-64, DX

block:
	ROWS
	ZERO8(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7)
	CMPQ AX, DX
	JGE  rest

one:
	STEP2(Z8, Z9, Z10, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7)
	ADDQ $64, AX
	CMPQ AX, DX
	JLT  one

rest:
	CMPQ AX, R12
	JGE  store
	VMOVUPS.Z (SI)(AX*1), K1, Z8
	VMOVUPS.Z (BX)(AX*1), K1, Z9
	REST2_AVX512(R8, Z0, Z4)
	REST2_AVX512(R9, Z1, Z5)
	REST2_AVX512(R10, Z2, Z6)
	REST2_AVX512(R11, Z3, Z7)

store:
	FOLD(Z0, Y0)
	FOLD(Z1, Y1)
	FOLD(Z2, Y2)
	FOLD(Z3, Y3)
	FOLD(Z4, Y4)
	FOLD(Z5, Y5)
	FOLD(Z6, Y6)
	FOLD(Z7, Y7)
	STORE(Y0, X0, Y1, Y2, Y3, DI)
	STORE(Y4, X4, Y5, Y6, Y7, R13)
	LEAQ (R11)(R12*1), R8
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET
