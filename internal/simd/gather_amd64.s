//go:build !purego

#include "textflag.h"

// Copies a value and asks for the line at AHEAD.
#define COPY(AHEAD) \
	PREFETCHT0 (AHEAD); \
	MOVL (SI), AX;      \
	MOVL AX, (DI);      \
	ADDQ $64, AHEAD;    \
	ADDQ $64, SI;       \
	ADDQ $4, DI

// func gatherAhead(dst, panel, next *float32, n, lead int)
// The panel's first lead lines were asked for by the call before, if it knew of
// them; now the others are, and as many of next's.
TEXT ·gatherAhead(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ panel+8(FP), SI
	MOVQ next+16(FP), R9
	MOVQ n+24(FP), CX
	MOVQ lead+32(FP), DX
	MOVQ DX, R8
	SHLQ $6, R8
	ADDQ SI, R8
	SUBQ DX, CX
	JZ   last

first:
	COPY(R8)
	DECQ CX
	JNZ  first

last:
	COPY(R9)
	DECQ DX
	JNZ  last
	RET
