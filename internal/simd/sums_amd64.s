//go:build !purego

#include "textflag.h"

// The outer products keep a square of sums in registers and walk down the rows
// of a (SI) and b (BX). Each value of a row of a, in all lanes, is multiplied
// with b's row, and added to its own row of sums.

// 4 rows of sums of 8 values, A to H, by the value of a at off.
#define HALF(off, A, B) \
	VBROADCASTSD off(SI), Y10; \
	VFMADD231PD Y8, Y10, A;    \
	VFMADD231PD Y9, Y10, B

// func outerAVX2(c *float64, stride int, a, b *float64, rows int)
TEXT ·outerAVX2(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ stride+8(FP), DX
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), BX
	MOVQ rows+32(FP), CX
	SHLQ $3, DX
	LEAQ (DI)(DX*2), R8
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VMOVUPD (DI)(DX*1), Y2
	VMOVUPD 32(DI)(DX*1), Y3
	VMOVUPD (R8), Y4
	VMOVUPD 32(R8), Y5
	VMOVUPD (R8)(DX*1), Y6
	VMOVUPD 32(R8)(DX*1), Y7

row:
	VMOVUPD (BX), Y8
	VMOVUPD 32(BX), Y9
	HALF(0, Y0, Y1)
	HALF(8, Y2, Y3)
	HALF(16, Y4, Y5)
	HALF(24, Y6, Y7)
	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  row

	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, (DI)(DX*1)
	VMOVUPD Y3, 32(DI)(DX*1)
	VMOVUPD Y4, (R8)
	VMOVUPD Y5, 32(R8)
	VMOVUPD Y6, (R8)(DX*1)
	VMOVUPD Y7, 32(R8)(DX*1)
	VZEROUPPER
	RET

// func outerAVX512(c *float64, stride int, a, b *float64, rows int)
TEXT ·outerAVX512(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ stride+8(FP), DX
	MOVQ a+16(FP), SI
	MOVQ b+24(FP), BX
	MOVQ rows+32(FP), CX
	SHLQ $3, DX
	LEAQ (DX)(DX*2), R9  // 3 rows
	LEAQ (DI)(DX*4), R8
	VMOVUPD (DI), Z0
	VMOVUPD (DI)(DX*1), Z1
	VMOVUPD (DI)(DX*2), Z2
	VMOVUPD (DI)(R9*1), Z3
	VMOVUPD (R8), Z4
	VMOVUPD (R8)(DX*1), Z5
	VMOVUPD (R8)(DX*2), Z6
	VMOVUPD (R8)(R9*1), Z7

row:
	VMOVUPD (BX), Z8
	VFMADD231PD.BCST (SI), Z8, Z0
	VFMADD231PD.BCST 8(SI), Z8, Z1
	VFMADD231PD.BCST 16(SI), Z8, Z2
	VFMADD231PD.BCST 24(SI), Z8, Z3
	VFMADD231PD.BCST 32(SI), Z8, Z4
	VFMADD231PD.BCST 40(SI), Z8, Z5
	VFMADD231PD.BCST 48(SI), Z8, Z6
	VFMADD231PD.BCST 56(SI), Z8, Z7
	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  row

	VMOVUPD Z0, (DI)
	VMOVUPD Z1, (DI)(DX*1)
	VMOVUPD Z2, (DI)(DX*2)
	VMOVUPD Z3, (DI)(R9*1)
	VMOVUPD Z4, (R8)
	VMOVUPD Z5, (R8)(DX*1)
	VMOVUPD Z6, (R8)(DX*2)
	VMOVUPD Z7, (R8)(R9*1)
	VZEROUPPER
	RET

// func addScaledAVX2(y *float64, s float64, x *float64, n int)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-32
	MOVQ y+0(FP), DI
	VBROADCASTSD s+8(FP), Y0
	MOVQ x+16(FP), SI
	MOVQ n+24(FP), CX

eight:
	VMOVUPD (DI), Y1
	VMOVUPD 32(DI), Y2
	VFMADD231PD (SI), Y0, Y1
	VFMADD231PD 32(SI), Y0, Y2
	VMOVUPD Y1, (DI)
	VMOVUPD Y2, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ  eight
	VZEROUPPER
	RET

// func addScaledAVX512(y *float64, s float64, x *float64, n int)
TEXT ·addScaledAVX512(SB), NOSPLIT, $0-32
	MOVQ y+0(FP), DI
	VBROADCASTSD s+8(FP), Z0
	MOVQ x+16(FP), SI
	MOVQ n+24(FP), CX

eight:
	VMOVUPD (DI), Z1
	VFMADD231PD (SI), Z0, Z1
	VMOVUPD Z1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ  eight
	VZEROUPPER
	RET

// func updateAVX2(x *float64, a float64, v *float64, b float64, w *float64, s float64, y *float64, n int)
TEXT ·updateAVX2(SB), NOSPLIT, $0-64
	MOVQ x+0(FP), DI
	VBROADCASTSD a+8(FP), Y0
	MOVQ v+16(FP), SI
	VBROADCASTSD b+24(FP), Y1
	MOVQ w+32(FP), BX
	VBROADCASTSD s+40(FP), Y2
	MOVQ y+48(FP), DX
	MOVQ n+56(FP), CX

eight:
	VMOVUPD (DI), Y3
	VMOVUPD 32(DI), Y4
	VFMADD231PD (SI), Y0, Y3
	VFMADD231PD 32(SI), Y0, Y4
	VFMADD231PD (BX), Y1, Y3
	VFMADD231PD 32(BX), Y1, Y4
	VMOVUPD (DX), Y5
	VMOVUPD 32(DX), Y6
	VMOVUPD Y3, (DI)
	VMOVUPD Y4, 32(DI)
	VFMADD231PD Y3, Y2, Y5
	VFMADD231PD Y4, Y2, Y6
	VMOVUPD Y5, (DX)
	VMOVUPD Y6, 32(DX)
	ADDQ $64, DI
	ADDQ $64, SI
	ADDQ $64, BX
	ADDQ $64, DX
	SUBQ $8, CX
	JNZ  eight
	VZEROUPPER
	RET

// func updateAVX512(x *float64, a float64, v *float64, b float64, w *float64, s float64, y *float64, n int)
TEXT ·updateAVX512(SB), NOSPLIT, $0-64
	MOVQ x+0(FP), DI
	VBROADCASTSD a+8(FP), Z0
	MOVQ v+16(FP), SI
	VBROADCASTSD b+24(FP), Z1
	MOVQ w+32(FP), BX
	VBROADCASTSD s+40(FP), Z2
	MOVQ y+48(FP), DX
	MOVQ n+56(FP), CX

eight:
	VMOVUPD (DI), Z3
	VFMADD231PD (SI), Z0, Z3
	VFMADD231PD (BX), Z1, Z3
	VMOVUPD (DX), Z5
	VMOVUPD Z3, (DI)
	VFMADD231PD Z3, Z2, Z5
	VMOVUPD Z5, (DX)
	ADDQ $64, DI
	ADDQ $64, SI
	ADDQ $64, BX
	ADDQ $64, DX
	SUBQ $8, CX
	JNZ  eight
	VZEROUPPER
	RET
