package vector_test

import (
	"fmt"

	"github.com/millrace-go/millrace/similarity/vector"
)

func ExampleCodec() {
	var codec vector.Codec
	wire, err := codec.Encode(vector.Vector{Space: "minilm", Values: []float32{0.5, -1, 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := codec.Decode(wire)
	fmt.Println(len(wire), "bytes:", back, err)

	_, err = codec.Decode(wire[:len(wire)-1])
	fmt.Println(err)
	// Output:
	// 28 bytes: {minilm [0.5 -1 2]} <nil>
	// vector: 11 bytes of values for dimension 3: cut short, damaged, or followed by something else
}

func ExampleVector_CheckIn() {
	v := vector.Vector{Space: "mpnet", Values: []float32{1, 2}}
	fmt.Println(v.CheckIn("mpnet", 3))
	// Output:
	// vector: of 2 values where 3 are wanted
}
