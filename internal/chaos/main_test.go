//go:build !race && !realkafka

package chaos_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain holds the whole suite against the number of records it is to move.
func TestMain(m *testing.M) {
	code := m.Run()
	n, all := records.Load(), flag.Lookup("test.run").Value.String() == ""
	fmt.Printf("scenario=all sent=%d\n", n)
	if all && code == 0 && n < 100_000 {
		fmt.Println("FAIL: fewer than 100,000 records")
		code = 1
	}
	os.Exit(code)
}
