package kafkatest_test

import (
	"fmt"

	"github.com/millrace-go/millrace/stage/kafkatest"
)

// A broker for a demonstration; tests take Start, which also closes it.
func ExampleNew() {
	b, err := kafkatest.New(kafkatest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	fmt.Println(b.CreateTopic("posts", 6), len(b.Addrs()))
	// Output: <nil> 1
}
