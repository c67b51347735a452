package huge_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/millrace-go/millrace/internal/huge"
)

// The kernel notes with each mapping whether huge pages were asked for.
func TestKernelIsAsked(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel has no transparent huge pages")
	}
	values := huge.Floats(8 << 20)
	middle := uintptr(unsafe.Pointer(&values[len(values)/2]))
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	here := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			here = from <= middle && middle < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && here {
			if !strings.Contains(flags+" ", " hg ") {
				t.Fatalf("the flags of the values' memory are%s", flags)
			}
			return
		}
	}
	t.Fatal("the values' memory is not among the process's mappings")
}
