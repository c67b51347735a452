package results

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Machine says what the figures were taken on: cores, processor, and those of
// its instructions that matter here.
func Machine() string {
	model, flags := processor()
	var wide []string
	for _, f := range []string{"avx2", "fma", "avx512f", "avx512vl", "avx512_vnni"} {
		if slices.Contains(flags, f) {
			wide = append(wide, f)
		}
	}
	return fmt.Sprintf("%d cores, %s, %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, strings.Join(wide, " "))
}

// processor is what Linux tells of the first core.
func processor() (model string, flags []string) {
	model = "unknown processor"
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return model, nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan() && lines.Text() != ""; {
		switch key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			flags = strings.Fields(value)
		}
	}
	return model, flags
}

// Load is how many processes wanted to run in the last minute, five and
// fifteen: more than a benchmark's own means that others disturbed it.
func Load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(data))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
