//go:build !purego

#include "textflag.h"

// The products keep rows of 16 float32 sums in registers, one for each column of
// a that is taken, and walk down the rows of a (SI) and b (BX): each value of a, in
// all lanes, is multiplied with b's row, in Y12 and Y13. At the end the sums, times
// unit (Y15), are added to c (DI).

// The sums A and B of the column of a at off.
#define COLUMN(off, V, A, B) \
	VBROADCASTSS off(SI), V; \
	VFMADD231PS Y12, V, A;   \
	VFMADD231PS Y13, V, B

// Adds 8 sums, whose lower half is LOW, at off.
#define EIGHT(off, LOW, ALL) \
	VCVTPS2PD LOW, Y12;          \
	VEXTRACTF128 $1, ALL, X13;   \
	VCVTPS2PD X13, Y13;          \
	VMULPD Y15, Y12, Y12;        \
	VMULPD Y15, Y13, Y13;        \
	VADDPD off(DI), Y12, Y12;    \
	VADDPD off+32(DI), Y13, Y13; \
	VMOVUPD Y12, off(DI);        \
	VMOVUPD Y13, off+32(DI)

// Adds a row of sums, and goes on to the next one.
#define ROW(LOWA, A, LOWB, B) \
	EIGHT(0, LOWA, A);  \
	EIGHT(64, LOWB, B); \
	ADDQ $128, DI

// A row at off, with so many columns of a.
#define ROW5(off) \
	VMOVUPS off(BX), Y12;         \
	VMOVUPS off+32(BX), Y13;      \
	COLUMN(off, Y14, Y0, Y1);     \
	COLUMN(off+4, Y15, Y2, Y3);   \
	COLUMN(off+8, Y14, Y4, Y5);   \
	COLUMN(off+12, Y15, Y6, Y7);  \
	COLUMN(off+16, Y14, Y8, Y9)

#define ROW6(off) \
	ROW5(off);                    \
	COLUMN(off+20, Y15, Y10, Y11)

// func products6AVX2(c *float64, a, b *float32, rows int, unit float64)
TEXT ·products6AVX2(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ rows+24(FP), CX
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
	SUBQ $4, CX
	JLT  few

four:
	ROW6(0)
	ROW6(64)
	ROW6(128)
	ROW6(192)
	ADDQ $256, SI
	ADDQ $256, BX
	SUBQ $4, CX
	JGE  four

few:
	ADDQ $4, CX
	JZ   done

row:
	ROW6(0)
	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  row

done:
	VBROADCASTSD unit+32(FP), Y15
	ROW(X0, Y0, X1, Y1)
	ROW(X2, Y2, X3, Y3)
	ROW(X4, Y4, X5, Y5)
	ROW(X6, Y6, X7, Y7)
	ROW(X8, Y8, X9, Y9)
	ROW(X10, Y10, X11, Y11)
	VZEROUPPER
	RET

// func products5AVX2(c *float64, a, b *float32, rows int, unit float64)
TEXT ·products5AVX2(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ rows+24(FP), CX
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
	SUBQ $4, CX
	JLT  few

four:
	ROW5(0)
	ROW5(64)
	ROW5(128)
	ROW5(192)
	ADDQ $256, SI
	ADDQ $256, BX
	SUBQ $4, CX
	JGE  four

few:
	ADDQ $4, CX
	JZ   done

row:
	ROW5(0)
	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  row

done:
	VBROADCASTSD unit+32(FP), Y15
	ROW(X0, Y0, X1, Y1)
	ROW(X2, Y2, X3, Y3)
	ROW(X4, Y4, X5, Y5)
	ROW(X6, Y6, X7, Y7)
	ROW(X8, Y8, X9, Y9)
	VZEROUPPER
	RET

// A row at off, with all columns of a.
#define ROW16(off, V) \
	VMOVUPS off(BX), V; \
	VFMADD231PS.BCST off(SI), V, Z0; \
	VFMADD231PS.BCST off+4(SI), V, Z1; \
	VFMADD231PS.BCST off+8(SI), V, Z2; \
	VFMADD231PS.BCST off+12(SI), V, Z3; \
	VFMADD231PS.BCST off+16(SI), V, Z4; \
	VFMADD231PS.BCST off+20(SI), V, Z5; \
	VFMADD231PS.BCST off+24(SI), V, Z6; \
	VFMADD231PS.BCST off+28(SI), V, Z7; \
	VFMADD231PS.BCST off+32(SI), V, Z8; \
	VFMADD231PS.BCST off+36(SI), V, Z9; \
	VFMADD231PS.BCST off+40(SI), V, Z10; \
	VFMADD231PS.BCST off+44(SI), V, Z11; \
	VFMADD231PS.BCST off+48(SI), V, Z12; \
	VFMADD231PS.BCST off+52(SI), V, Z13; \
	VFMADD231PS.BCST off+56(SI), V, Z14; \
	VFMADD231PS.BCST off+60(SI), V, Z15

// Adds a row of 16 sums, whose lower half is LOW, and goes on to the next one.
#define ADD16(LOW, ALL) \
	VCVTPS2PD LOW, Z20;            \
	VEXTRACTF64X4 $1, ALL, Y21;    \
	VCVTPS2PD Y21, Z21;            \
	VMULPD Z31, Z20, Z20;          \
	VMULPD Z31, Z21, Z21;          \
	VADDPD (DI), Z20, Z20;         \
	VADDPD 64(DI), Z21, Z21;       \
	VMOVUPD Z20, (DI);             \
	VMOVUPD Z21, 64(DI);           \
	ADDQ $128, DI

// func productsAVX512(c *float64, a, b *float32, rows int, unit float64)
TEXT ·productsAVX512(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ rows+24(FP), CX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	VPXORD Z4, Z4, Z4
	VPXORD Z5, Z5, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
	VPXORD Z8, Z8, Z8
	VPXORD Z9, Z9, Z9
	VPXORD Z10, Z10, Z10
	VPXORD Z11, Z11, Z11
	VPXORD Z12, Z12, Z12
	VPXORD Z13, Z13, Z13
	VPXORD Z14, Z14, Z14
	VPXORD Z15, Z15, Z15
	SUBQ $4, CX
	JLT  few

four:
	ROW16(0, Z16)
	ROW16(64, Z17)
	ROW16(128, Z18)
	ROW16(192, Z19)
	ADDQ $256, SI
	ADDQ $256, BX
	SUBQ $4, CX
	JGE  four

few:
	ADDQ $4, CX
	JZ   done

row:
	ROW16(0, Z16)
	ADDQ $64, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  row

done:
	VBROADCASTSD unit+32(FP), Z31
	ADD16(Y0, Z0)
	ADD16(Y1, Z1)
	ADD16(Y2, Z2)
	ADD16(Y3, Z3)
	ADD16(Y4, Z4)
	ADD16(Y5, Z5)
	ADD16(Y6, Z6)
	ADD16(Y7, Z7)
	ADD16(Y8, Z8)
	ADD16(Y9, Z9)
	ADD16(Y10, Z10)
	ADD16(Y11, Z11)
	ADD16(Y12, Z12)
	ADD16(Y13, Z13)
	ADD16(Y14, Z14)
	ADD16(Y15, Z15)
	VZEROUPPER
	RET

// Adds 4 values less their shifts to sums.
#define SUM(off32, off64) \
	VCVTPS2PD off32(SI), Y8;  \
	VCVTPS2PD off32(BX), Y9;  \
	VSUBPD Y9, Y8, Y8;        \
	VADDPD off64(DX), Y8, Y8; \
	VMOVUPD Y8, off64(DX)

// func centerAVX2(to *float32, step int, x, shift *float32, sums *float64, largest, ahead *float32, panels int)
TEXT ·centerAVX2(SB), NOSPLIT, $0-64
	MOVQ to+0(FP), DI
	MOVQ step+8(FP), R8
	MOVQ x+16(FP), SI
	MOVQ shift+24(FP), BX
	MOVQ sums+32(FP), DX
	MOVQ largest+40(FP), CX
	MOVQ ahead+48(FP), AX
	MOVQ panels+56(FP), R9
	SHLQ $2, R8
	VPCMPEQD Y7, Y7, Y7
	VPSRLD $1, Y7, Y7 // all bits but the sign

panel:
	PREFETCHT0 (AX)
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VSUBPS (BX), Y0, Y0
	VSUBPS 32(BX), Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VANDPS Y7, Y0, Y0
	VANDPS Y7, Y1, Y1
	VMAXPS (CX), Y0, Y0
	VMAXPS 32(CX), Y1, Y1
	VMOVUPS Y0, (CX)
	VMOVUPS Y1, 32(CX)
	SUM(0, 0)
	SUM(16, 32)
	SUM(32, 64)
	SUM(48, 96)
	ADDQ R8, DI
	ADDQ $64, SI
	ADDQ $64, BX
	ADDQ $128, DX
	ADDQ $64, CX
	ADDQ $64, AX
	DECQ R9
	JNZ  panel
	VZEROUPPER
	RET

// func centerAVX512(to *float32, step int, x, shift *float32, sums *float64, largest, ahead *float32, panels int)
TEXT ·centerAVX512(SB), NOSPLIT, $0-64
	MOVQ to+0(FP), DI
	MOVQ step+8(FP), R8
	MOVQ x+16(FP), SI
	MOVQ shift+24(FP), BX
	MOVQ sums+32(FP), DX
	MOVQ largest+40(FP), CX
	MOVQ ahead+48(FP), AX
	MOVQ panels+56(FP), R9
	SHLQ $2, R8
	VPTERNLOGD $255, Z7, Z7, Z7
	VPSRLD $1, Z7, Z7 // all bits but the sign

panel:
	PREFETCHT0 (AX)
	VMOVUPS (SI), Z0
	VMOVUPS (BX), Z1
	VSUBPS Z1, Z0, Z2
	VMOVUPS Z2, (DI)
	VPANDD Z7, Z2, Z2
	VMAXPS (CX), Z2, Z2
	VMOVUPS Z2, (CX)
	VCVTPS2PD Y0, Z3
	VCVTPS2PD Y1, Z4
	VEXTRACTF64X4 $1, Z0, Y0
	VEXTRACTF64X4 $1, Z1, Y1
	VCVTPS2PD Y0, Z5
	VCVTPS2PD Y1, Z6
	VSUBPD Z4, Z3, Z3
	VSUBPD Z6, Z5, Z5
	VADDPD (DX), Z3, Z3
	VADDPD 64(DX), Z5, Z5
	VMOVUPD Z3, (DX)
	VMOVUPD Z5, 64(DX)
	ADDQ R8, DI
	ADDQ $64, SI
	ADDQ $64, BX
	ADDQ $128, DX
	ADDQ $64, CX
	ADDQ $64, AX
	DECQ R9
	JNZ  panel
	VZEROUPPER
	RET
