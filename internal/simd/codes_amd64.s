//go:build !purego

#include "textflag.h"

// Registers of all loops:
//
//	DI, R13   dots and in, of this panel or block
//	SI, BX    the query or queries, and the next quad of each
//	R10       what the sums begin with
//	R8, R9    the rows, R14 their marks
//	DX        quads, CX quads to go
//	R12       the cuts
//	R15       panels or blocks to go
//
// A panel's quad is one cache line: 4 codes of 16 rows. Codes are unsigned, a
// query's parts signed; a single query's sums are of the upper parts and of the
// lower ones, a group's of the upper ones.

// v NLT limit: greater, equal, or not a number.
#define NLT $0x15

// 16 ones, of 16 bits.
DATA ones<>+0(SB)/8, $0x0001000100010001
DATA ones<>+8(SB)/8, $0x0001000100010001
DATA ones<>+16(SB)/8, $0x0001000100010001
DATA ones<>+24(SB)/8, $0x0001000100010001
GLOBL ones<>(SB), RODATA|NOPTR, $32

// The step between a query's parts, as a float32.
#define STEP(R, X, V) MOVL $0x43000000, R; VMOVD R, X; VPBROADCASTD X, V

// The sums of the products of codes in U and parts in Q, onto A.
#define ADD_AVX2(Q, U, T, ONE, A) \
	VPMADDUBSW Q, U, T; \
	VPMADDWD ONE, T, T; \
	VPADDD T, A, A

// func codes1AVX2(dots *float32, in *uint64, q *int8, zeros *[2]int32, cut *CodeCut, rows *byte, marks *float32, quads, panels int)
TEXT ·codes1AVX2(SB), NOSPLIT, $0-72
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ q+16(FP), SI
	MOVQ zeros+24(FP), R10
	MOVQ cut+32(FP), R12
	MOVQ rows+40(FP), R8
	MOVQ marks+48(FP), R14
	MOVQ quads+56(FP), DX
	MOVQ panels+64(FP), R15
	VMOVDQU ones<>(SB), Y15
	STEP(AX, X14, Y14)

panel:
	MOVQ SI, BX
	MOVQ DX, CX
	VPBROADCASTD (R10), Y0
	VPBROADCASTD 4(R10), Y2
	VMOVDQA Y0, Y1
	VMOVDQA Y2, Y3

quad:
	PREFETCHT0 2048(R8)
	VMOVDQU (R8), Y4
	VMOVDQU 32(R8), Y5
	VPBROADCASTD (BX), Y6
	VPBROADCASTD 4(BX), Y7
	ADD_AVX2(Y6, Y4, Y8, Y15, Y0)
	ADD_AVX2(Y6, Y5, Y9, Y15, Y1)
	ADD_AVX2(Y7, Y4, Y10, Y15, Y2)
	ADD_AVX2(Y7, Y5, Y11, Y15, Y3)
	ADDQ $64, R8
	ADDQ $8, BX
	DECQ CX
	JNZ  quad

	VCVTDQ2PS Y0, Y0
	VCVTDQ2PS Y1, Y1
	VCVTDQ2PS Y2, Y2
	VCVTDQ2PS Y3, Y3
	VFMADD231PS Y14, Y0, Y2
	VFMADD231PS Y14, Y1, Y3
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, 32(DI)
	VBROADCASTSS (R12), Y4
	VBROADCASTSS 4(R12), Y5
	VBROADCASTSS 8(R12), Y6
	VBROADCASTSS 12(R12), Y7
	VMULPS 64(R14), Y5, Y8
	VMULPS 96(R14), Y5, Y9
	VFNMADD231PS 128(R14), Y6, Y8
	VFNMADD231PS 160(R14), Y6, Y9
	VMULPS Y4, Y2, Y2
	VMULPS Y4, Y3, Y3
	VFMADD231PS (R14), Y2, Y8
	VFMADD231PS 32(R14), Y3, Y9
	VCMPPS NLT, Y7, Y8, Y8
	VCMPPS NLT, Y7, Y9, Y9
	VMOVMSKPS Y8, AX
	VMOVMSKPS Y9, CX
	MOVB AX, (R13)
	MOVB CX, 1(R13)
	ADDQ $64, DI
	ADDQ $192, R14
	ADDQ $2, R13
	DECQ R15
	JNZ  panel
	VZEROUPPER
	RET

// One line, at off, of a panel for one query.
#define LINE_VNNI(line, value, V, A, B) \
	VMOVDQU32 line(R8), V;           \
	VPDPBUSD.BCST value(BX), V, A;   \
	VPDPBUSD.BCST value+4(BX), V, B

// func codes1VNNI(dots *float32, in *uint64, q *int8, zeros *[2]int32, cut *CodeCut, rows *byte, marks *float32, quads, panels int)
TEXT ·codes1VNNI(SB), NOSPLIT, $0-72
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ q+16(FP), SI
	MOVQ zeros+24(FP), R10
	MOVQ cut+32(FP), R12
	MOVQ rows+40(FP), R8
	MOVQ marks+48(FP), R14
	MOVQ quads+56(FP), DX
	MOVQ panels+64(FP), R15
	STEP(AX, X15, Z15)
	VBROADCASTSS (R12), Z16
	VBROADCASTSS 4(R12), Z17
	VBROADCASTSS 8(R12), Z18
	VBROADCASTSS 12(R12), Z19
	VPBROADCASTD (R10), Z20
	VPBROADCASTD 4(R10), Z21

panel:
	MOVQ SI, BX
	MOVQ DX, CX
	VMOVDQA32 Z20, Z0
	VMOVDQA32 Z21, Z4
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	VPXORD Z5, Z5, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
	SUBQ $4, CX
	JLT  rest

four:
	PREFETCHT0 2048(R8)
	PREFETCHT0 2112(R8)
	PREFETCHT0 2176(R8)
	PREFETCHT0 2240(R8)
	LINE_VNNI(0, 0, Z8, Z0, Z4)
	LINE_VNNI(64, 8, Z9, Z1, Z5)
	LINE_VNNI(128, 16, Z10, Z2, Z6)
	LINE_VNNI(192, 24, Z11, Z3, Z7)
	ADDQ $256, R8
	ADDQ $32, BX
	SUBQ $4, CX
	JGE  four

rest:
	ADDQ $4, CX
	JZ   sum

one:
	LINE_VNNI(0, 0, Z8, Z0, Z4)
	ADDQ $64, R8
	ADDQ $8, BX
	DECQ CX
	JNZ  one

sum:
	VPADDD Z1, Z0, Z0
	VPADDD Z3, Z2, Z2
	VPADDD Z5, Z4, Z4
	VPADDD Z7, Z6, Z6
	VPADDD Z2, Z0, Z0
	VPADDD Z6, Z4, Z4
	VCVTDQ2PS Z0, Z0
	VCVTDQ2PS Z4, Z4
	VFMADD231PS Z15, Z0, Z4
	VMOVUPS Z4, (DI)
	VMULPS 64(R14), Z17, Z5
	VFNMADD231PS 128(R14), Z18, Z5
	VMULPS Z16, Z4, Z4
	VFMADD231PS (R14), Z4, Z5
	VCMPPS NLT, Z19, Z5, K1
	KMOVW K1, (R13)
	ADDQ $64, DI
	ADDQ $192, R14
	ADDQ $2, R13
	DECQ R15
	JNZ  panel
	VZEROUPPER
	RET

// The line in Y12 and Y13 for one query.
#define QUERY_AVX2(value, A, B) \
	VPBROADCASTD value(BX), Y14;    \
	VPMADDUBSW Y14, Y12, Y15;       \
	VPMADDWD ones<>(SB), Y15, Y15;  \
	VPADDD Y15, A, A;               \
	VPMADDUBSW Y14, Y13, Y15;       \
	VPMADDWD ones<>(SB), Y15, Y15;  \
	VPADDD Y15, B, B

// Stores 8 dot products and their bits, of the sums A, for the half panel at
// dots and marks. Y12 is the step; Y13 to Y15 and T are free.
#define HALF_AVX2(j, dots, marks, bits, A, T) \
	VCVTDQ2PS A, A;                        \
	VMULPS Y12, A, A;                      \
	VMOVUPS A, dots(DI);                   \
	VBROADCASTSS 24+4*j(R12), T;           \
	VMULPS marks+64(R14), T, T;            \
	VBROADCASTSS 48+4*j(R12), Y13;         \
	VFNMADD231PS marks+128(R14), Y13, T;   \
	VBROADCASTSS 4*j(R12), Y13;            \
	VMULPS Y13, A, A;                      \
	VFMADD231PS marks(R14), A, T;          \
	VBROADCASTSS 72+4*j(R12), Y13;         \
	VCMPPS NLT, Y13, T, T;                 \
	VMOVMSKPS T, AX;                       \
	MOVB AX, bits(R13)

#define CUT_AVX2(j, A, B) \
	HALF_AVX2(j, 256*j, 0, 8*j, A, Y14);       \
	HALF_AVX2(j, 256*j+32, 32, 8*j+1, B, Y15)

// func codesGroupAVX2(dots *float32, in *uint64, group *int8, zeros *[Group]int32, cuts *CodeCuts, rows *byte, marks *float32, quads, blocks int)
TEXT ·codesGroupAVX2(SB), NOSPLIT, $0-72
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ group+16(FP), SI
	MOVQ zeros+24(FP), R10
	MOVQ cuts+32(FP), R12
	MOVQ rows+40(FP), R8
	MOVQ marks+48(FP), R14
	MOVQ quads+56(FP), DX
	MOVQ blocks+64(FP), R15

block:
	MOVQ $4, R11 // panels to go

panel:
	MOVQ SI, BX
	MOVQ DX, CX
	VPBROADCASTD (R10), Y0
	VPBROADCASTD 4(R10), Y2
	VPBROADCASTD 8(R10), Y4
	VPBROADCASTD 12(R10), Y6
	VPBROADCASTD 16(R10), Y8
	VPBROADCASTD 20(R10), Y10
	VMOVDQA Y0, Y1
	VMOVDQA Y2, Y3
	VMOVDQA Y4, Y5
	VMOVDQA Y6, Y7
	VMOVDQA Y8, Y9
	VMOVDQA Y10, Y11

quad:
	VMOVDQU (R8), Y12
	VMOVDQU 32(R8), Y13
	QUERY_AVX2(0, Y0, Y1)
	QUERY_AVX2(4, Y2, Y3)
	QUERY_AVX2(8, Y4, Y5)
	QUERY_AVX2(12, Y6, Y7)
	QUERY_AVX2(16, Y8, Y9)
	QUERY_AVX2(20, Y10, Y11)
	ADDQ $64, R8
	ADDQ $24, BX
	DECQ CX
	JNZ  quad

	STEP(AX, X12, Y12)
	CUT_AVX2(0, Y0, Y1)
	CUT_AVX2(1, Y2, Y3)
	CUT_AVX2(2, Y4, Y5)
	CUT_AVX2(3, Y6, Y7)
	CUT_AVX2(4, Y8, Y9)
	CUT_AVX2(5, Y10, Y11)
	ADDQ $64, DI
	ADDQ $192, R14
	ADDQ $2, R13
	DECQ R11
	JNZ  panel

	ADDQ $1280, DI // of 6 x 256, 256 are behind
	ADDQ $40, R13  // of 6 x 8, 8 are behind
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET

// The lines in Z24 to Z27, one of each panel, for one query.
#define QUERY_VNNI(value, Q, A, B, C, D) \
	VPBROADCASTD value(BX), Q; \
	VPDPBUSD Q, Z24, A;        \
	VPDPBUSD Q, Z25, B;        \
	VPDPBUSD Q, Z26, C;        \
	VPDPBUSD Q, Z27, D

#define BEGIN_VNNI(value, A, B, C, D) \
	VPBROADCASTD value(R10), A; \
	VMOVDQA32 A, B;             \
	VMOVDQA32 A, C;             \
	VMOVDQA32 A, D

// Stores 16 dot products and their bits, of the sums A, for the panel at dots
// and marks; Z28 to Z31 are query j's cut, Z24 is the step, and Z25 is free.
#define PANEL_VNNI(dots, marks, bits, A) \
	VCVTDQ2PS A, A;                        \
	VMULPS Z24, A, A;                      \
	VMOVUPS A, dots(DI);                   \
	VMULPS marks+64(R14), Z29, Z25;        \
	VFNMADD231PS marks+128(R14), Z30, Z25; \
	VMULPS Z28, A, A;                      \
	VFMADD231PS marks(R14), A, Z25;        \
	VCMPPS NLT, Z31, Z25, K1;              \
	KMOVW K1, bits(R13)

#define CUT_VNNI(j, A, B, C, D) \
	VBROADCASTSS 4*j(R12), Z28;            \
	VBROADCASTSS 24+4*j(R12), Z29;         \
	VBROADCASTSS 48+4*j(R12), Z30;         \
	VBROADCASTSS 72+4*j(R12), Z31;         \
	PANEL_VNNI(256*j, 0, 8*j, A);          \
	PANEL_VNNI(256*j+64, 192, 8*j+2, B);   \
	PANEL_VNNI(256*j+128, 384, 8*j+4, C);  \
	PANEL_VNNI(256*j+192, 576, 8*j+6, D)

// func codesGroupVNNI(dots *float32, in *uint64, group *int8, zeros *[Group]int32, cuts *CodeCuts, rows *byte, marks *float32, quads, blocks int)
TEXT ·codesGroupVNNI(SB), NOSPLIT, $0-72
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ group+16(FP), SI
	MOVQ zeros+24(FP), R10
	MOVQ cuts+32(FP), R12
	MOVQ rows+40(FP), R8
	MOVQ marks+48(FP), R14
	MOVQ quads+56(FP), DX
	MOVQ blocks+64(FP), R15
	SHLQ $6, DX // bytes of a panel

block:
	LEAQ (R8)(DX*1), R9
	LEAQ (R9)(DX*1), R11
	LEAQ (R11)(DX*1), CX
	MOVQ SI, BX
	XORL AX, AX
	BEGIN_VNNI(0, Z0, Z1, Z2, Z3)
	BEGIN_VNNI(4, Z4, Z5, Z6, Z7)
	BEGIN_VNNI(8, Z8, Z9, Z10, Z11)
	BEGIN_VNNI(12, Z12, Z13, Z14, Z15)
	BEGIN_VNNI(16, Z16, Z17, Z18, Z19)
	BEGIN_VNNI(20, Z20, Z21, Z22, Z23)

quad:
	VMOVDQU32 (R8)(AX*1), Z24
	VMOVDQU32 (R9)(AX*1), Z25
	VMOVDQU32 (R11)(AX*1), Z26
	VMOVDQU32 (CX)(AX*1), Z27
	QUERY_VNNI(0, Z28, Z0, Z1, Z2, Z3)
	QUERY_VNNI(4, Z29, Z4, Z5, Z6, Z7)
	QUERY_VNNI(8, Z30, Z8, Z9, Z10, Z11)
	QUERY_VNNI(12, Z31, Z12, Z13, Z14, Z15)
	QUERY_VNNI(16, Z28, Z16, Z17, Z18, Z19)
	QUERY_VNNI(20, Z29, Z20, Z21, Z22, Z23)
	ADDQ $64, AX
	ADDQ $24, BX
	CMPQ AX, DX
	JLT  quad

	STEP(AX, X24, Z24)
	CUT_VNNI(0, Z0, Z1, Z2, Z3)
	CUT_VNNI(1, Z4, Z5, Z6, Z7)
	CUT_VNNI(2, Z8, Z9, Z10, Z11)
	CUT_VNNI(3, Z12, Z13, Z14, Z15)
	CUT_VNNI(4, Z16, Z17, Z18, Z19)
	CUT_VNNI(5, Z20, Z21, Z22, Z23)
	LEAQ (CX)(DX*1), R8
	ADDQ $1536, DI
	ADDQ $768, R14
	ADDQ $48, R13
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET
