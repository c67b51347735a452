//go:build !purego

#include "textflag.h"

// Registers of all loops:
//
//	DI, R13   dots and in, of this block
//	SI, BX    the query or queries, and the next value of each
//	R8 ...    the rows, R14 their sizes
//	DX        a panel's bytes, AX the offset in it
//	R12       the cuts
//	R15       panels or blocks to go, or the step ahead
//	R10, CX   what is to be in the cache soon: scanGroupAVX2, scanGroupAVX512
//
// A panel's value j is one cache line: 16 rows. A lane never meets another,
// so that there is nothing to add up at the end of a row.

// v NLT limit: greater, equal, or not a number.
#define NLT $0x15

// One line, at off, of a panel for one query.
#define LINE_AVX2(line, value, A, B) \
	VBROADCASTSS value(BX), Y8;       \
	VFMADD231PS line(R8), Y8, A;      \
	VFMADD231PS line+32(R8), Y8, B

// func scan1AVX2(dots *float32, in *uint64, q *float32, cut *Cut, rows, sizes *float32, dim, panels int)
TEXT ·scan1AVX2(SB), NOSPLIT, $0-64
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ q+16(FP), SI
	MOVQ cut+24(FP), R12
	MOVQ rows+32(FP), R8
	MOVQ sizes+40(FP), R14
	MOVQ dim+48(FP), DX
	MOVQ panels+56(FP), R15
	VBROADCASTSS (R12), Y14
	VBROADCASTSS 4(R12), Y15

panel:
	MOVQ SI, BX
	MOVQ DX, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	SUBQ $4, CX
	JLT  rest

four:
	PREFETCHT0 8192(R8)
	PREFETCHT0 8256(R8)
	PREFETCHT0 8320(R8)
	PREFETCHT0 8384(R8)
	LINE_AVX2(0, 0, Y0, Y1)
	LINE_AVX2(64, 4, Y2, Y3)
	LINE_AVX2(128, 8, Y4, Y5)
	LINE_AVX2(192, 12, Y6, Y7)
	ADDQ $256, R8
	ADDQ $16, BX
	SUBQ $4, CX
	JGE  four

rest:
	ADDQ $4, CX
	JZ   sum

one:
	LINE_AVX2(0, 0, Y0, Y1)
	ADDQ $64, R8
	ADDQ $4, BX
	DECQ CX
	JNZ  one

sum:
	VADDPS Y2, Y0, Y0
	VADDPS Y3, Y1, Y1
	VADDPS Y6, Y4, Y4
	VADDPS Y7, Y5, Y5
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VFNMADD231PS (R14), Y14, Y0
	VFNMADD231PS 32(R14), Y14, Y1
	VCMPPS NLT, Y15, Y0, Y0
	VCMPPS NLT, Y15, Y1, Y1
	VMOVMSKPS Y0, AX
	VMOVMSKPS Y1, CX
	MOVB AX, (R13)
	MOVB CX, 1(R13)
	ADDQ $64, DI
	ADDQ $64, R14
	ADDQ $2, R13
	DECQ R15
	JNZ  panel
	VZEROUPPER
	RET

// The line in Y12 and Y13 for one query of the group.
#define QUERY_AVX2(value, Q, A, B) \
	VBROADCASTSS value(BX), Q;      \
	VFMADD231PS Y12, Q, A;          \
	VFMADD231PS Y13, Q, B

// A line, at off, for the group, whose values are at value.
#define LINE_GROUP_AVX2(line, value) \
	VMOVUPS line(R8), Y12;                \
	VMOVUPS line+32(R8), Y13;             \
	QUERY_AVX2(value, Y14, Y0, Y1);       \
	QUERY_AVX2(value+4, Y15, Y2, Y3);     \
	QUERY_AVX2(value+8, Y14, Y4, Y5);     \
	QUERY_AVX2(value+12, Y15, Y6, Y7);    \
	QUERY_AVX2(value+16, Y14, Y8, Y9);    \
	QUERY_AVX2(value+20, Y15, Y10, Y11)

// Stores query j's 16 dot products, and their bits; the rows' sizes are in
// Y12 and Y13.
#define CUT_AVX2(j, A, B) \
	VMOVUPS A, 256*j(DI);           \
	VMOVUPS B, 256*j+32(DI);        \
	VBROADCASTSS 4*j(R12), Y14;     \
	VBROADCASTSS 52+4*j(R12), Y15;  \
	VFNMADD231PS Y12, Y14, A;       \
	VFNMADD231PS Y13, Y14, B;       \
	VCMPPS NLT, Y15, A, A;          \
	VCMPPS NLT, Y15, B, B;          \
	VMOVMSKPS A, CX;                \
	VMOVMSKPS B, AX;                \
	MOVB CX, 8*j(R13);              \
	MOVB AX, 8*j+1(R13)

// func scanGroupAVX2(dots *float32, in *uint64, group *float32, cuts *Cuts, rows, sizes *float32, dim, blocks int, ahead *float32, step int)
TEXT ·scanGroupAVX2(SB), NOSPLIT, $0-80
	MOVQ dots+0(FP), DI
	MOVQ in+8(FP), R13
	MOVQ group+16(FP), SI
	MOVQ cuts+24(FP), R12
	MOVQ rows+32(FP), R8
	MOVQ sizes+40(FP), R14
	MOVQ dim+48(FP), DX
	MOVQ blocks+56(FP), R15
	MOVQ ahead+64(FP), R10
	MOVQ step+72(FP), R11

block:
	MOVQ $4, R9 // panels to go

panel:
	MOVQ SI, BX
	MOVQ DX, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11

	SUBQ $2, CX
	JLT  one

two: // at a time, so that counting takes little of what multiplies
	PREFETCHT1 (R10)
	PREFETCHT1 (R10)(R11*1)
	LEAQ (R10)(R11*2), R10
	LINE_GROUP_AVX2(0, 0)
	LINE_GROUP_AVX2(64, 24)
	ADDQ $128, R8
	ADDQ $48, BX
	SUBQ $2, CX
	JGE  two

one:
	ADDQ $2, CX
	JZ   cut
	LINE_GROUP_AVX2(0, 0)
	ADDQ $64, R8

cut:
	VMOVUPS (R14), Y12
	VMOVUPS 32(R14), Y13
	CUT_AVX2(0, Y0, Y1)
	CUT_AVX2(1, Y2, Y3)
	CUT_AVX2(2, Y4, Y5)
	CUT_AVX2(3, Y6, Y7)
	CUT_AVX2(4, Y8, Y9)
	CUT_AVX2(5, Y10, Y11)
	ADDQ $64, DI
	ADDQ $64, R14
	ADDQ $2, R13
	DECQ R9
	JNZ  panel

	ADDQ $1280, DI // of 6 x 256, 256 are behind
	ADDQ $40, R13  // of 6 x 8, 8 are behind
	DECQ R15
	JNZ  block
	VZEROUPPER
	RET
