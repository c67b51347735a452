package similarity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

func openFile(t testing.TB, path string, metric Metric) *File {
	t.Helper()
	x, err := OpenFile(path, metric)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func vectors(rng *rand.Rand, first, n, dim int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{fmt.Sprintf("%06d", first+i), vector.Vector{Space: "s", Values: make([]float32, dim)}}
		for d := range dim {
			items[i].Vector.Values[d] = float32(rng.NormFloat64())
		}
	}
	return items
}

// same wants the file to hold just these.
func same(t *testing.T, x *File, metric Metric, all map[string]vector.Vector) {
	t.Helper()
	q := vector.Vector{Space: "s", Values: []float32{1, 0.5, 2}}
	got, err := x.Nearest(t.Context(), []vector.Vector{q}, len(all)+10)
	if err != nil {
		t.Fatal(err)
	}
	if want := exact(t, metric, all, q.Values, len(all)); x.Len() != len(all) || !slices.Equal(got[0], want) {
		t.Fatalf("%d items are there, %d were wanted; found %d, wanted %d", x.Len(), len(all), len(got[0]), len(want))
	}
}

// TestFileKeepsWhatIsThere changes a file, opens it again and again, and
// compacts it, with a map beside.
func TestFileKeepsWhatIsThere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, metric := range metrics {
		path := filepath.Join(t.TempDir(), "vectors")
		all := make(map[string]vector.Vector)
		for round := range 12 {
			x := openFile(t, path, metric)
			same(t, x, metric, all)
			for _, n := range []int{1, 3, simd64, 100, 3 * simd64, rng.IntN(300) + 1} {
				items := vectors(rng, rng.IntN(500), n, 3)
				if err := x.Add(items...); err != nil {
					t.Fatal(err)
				}
				maps.Copy(all, byID(items))
				gone := []string{fmt.Sprintf("%06d", rng.IntN(500)), "unknown"}
				if err := x.Delete(gone...); err != nil {
					t.Fatal(err)
				}
				delete(all, gone[0])
			}
			same(t, x, metric, all)
			if round%4 == 3 {
				before, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := x.Compact(); err != nil {
					t.Fatal(err)
				}
				if after, err := os.Stat(path); err != nil || after.Size() >= before.Size() {
					t.Errorf("compacted from %d to %d bytes, %v", before.Size(), after.Size(), err)
				}
				same(t, x, metric, all)
				if err := x.Add(Item{"after", vector.Vector{Space: "s", Values: []float32{3, 3, 3}}}); err != nil {
					t.Fatal(err)
				}
				all["after"] = vector.Vector{Space: "s", Values: []float32{3, 3, 3}}
			}
			if err := x.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if x.Dropped() != 0 {
				t.Fatalf("%d bytes dropped", x.Dropped())
			}
		}
	}
}

const simd64 = 64 // rows of a block

// Large Adds have several segments, and take none of the process's own memory.
func TestLargeAddStaysInTheFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	path := filepath.Join(t.TempDir(), "vectors")
	items := vectors(rng, 0, 2*segmentRows+100, 3)
	x := openFile(t, path, Euclidean)
	if err := x.Add(items...); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = openFile(t, path, Euclidean)
	same(t, x, Euclidean, byID(items))
	for i, v := range x.index.table.snapshot().views {
		if !v.fixed {
			t.Errorf("segment %d was copied", i)
		}
	}
	if err := x.Add(items[0]); err != nil { // must not go into the file's memory
		t.Fatal(err)
	}
	same(t, x, Euclidean, byID(items))
}

// TestFileCutAnywhere cuts a file at every byte: what is whole stays, and what
// comes after it goes on from there. Then it changes every byte.
func TestFileCutAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	dir := t.TempDir()
	path := filepath.Join(dir, "vectors")
	x := openFile(t, path, Cosine)
	all := make(map[string]vector.Vector)
	type state struct {
		end int64
		all map[string]vector.Vector
	}
	states := []state{{align, maps.Clone(all)}}
	for _, n := range []int{2, simd64, 0, 1} {
		if items := vectors(rng, rng.IntN(10), n, 3); n > 0 {
			if err := x.Add(items...); err != nil {
				t.Fatal(err)
			}
			maps.Copy(all, byID(items))
		} else {
			if err := x.Delete("000010", "000011"); err != nil {
				t.Fatal(err)
			}
			delete(all, "000010")
			delete(all, "000011")
		}
		states = append(states, state{x.end, maps.Clone(all)})
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := Item{"more", vector.Vector{Space: "s", Values: []float32{1, 2, 3}}}
	for cut := range len(whole) + 1 {
		want, zeros := states[0], 0
		for _, s := range states {
			if s.end <= int64(cut) {
				want = s
			}
		}
		if want.end == int64(cut) { // of a machine that failed
			zeros = 4096
		}
		if err := os.WriteFile(path, append(slices.Clone(whole[:cut]), make([]byte, zeros)...), 0o600); err != nil {
			t.Fatal(err)
		}
		x := openFile(t, path, Cosine)
		same(t, x, Cosine, want.all)
		if size := max(int64(cut+zeros), align); x.Dropped() != size-want.end {
			t.Fatalf("cut at byte %d: %d dropped, want %d", cut, x.Dropped(), size-want.end)
		}
		if err := x.Add(more); err != nil {
			t.Fatal(err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		with := maps.Clone(want.all)
		with[more.ID] = more.Vector
		x = openFile(t, path, Cosine)
		same(t, x, Cosine, with)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range whole {
		bad := slices.Clone(whole)
		bad[i] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := OpenFile(path, Cosine); err == nil {
			t.Errorf("byte %d is changed, and no error", i)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFileRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vectors")
	x := openFile(t, path, Euclidean)
	if err := x.Add(Item{"a", vector.Vector{Space: "s", Values: []float32{1, 2}}}); err != nil {
		t.Fatal(err)
	}
	want := func(name string, err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one with %q", name, err, text)
		}
	}
	_, err := OpenFile(path, Euclidean)
	want("open twice", err, "has it open")
	err = x.Add(Item{"b", vector.Vector{Space: "other", Values: []float32{1, 2}}})
	if e, ok := errors.AsType[*vector.SpaceError](err); !ok || e.Got != "other" || e.Want != "s" {
		t.Errorf("another space: error %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	want("Add after Close", x.Add(Item{"b", vector.Vector{Space: "s", Values: []float32{1, 2}}}), "closed")
	want("Sync after Close", x.Sync(), "closed")
	_, err = x.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1, 2}}}, 1)
	want("Nearest after Close", err, "closed")
	_, err = OpenFile(path, Cosine)
	want("metric", err, "metric is euclidean, and cosine")
	y := openFile(t, path, Euclidean)
	err = y.Add(Item{"b", vector.Vector{Space: "other", Values: []float32{1, 2}}})
	want("another space, opened again", err, `"other"`)
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, bytes.Repeat([]byte("PK\x03\x04 else "), 20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenFile(foreign, Euclidean)
	want("a foreign file", err, "not a file of vectors")
	_, err = OpenFile(filepath.Join(dir, "no", "such"), Euclidean)
	want("no folder", err, "no such")
}

// Searches go on while the file is changed, compacted and closed.
func TestFileUnderSearches(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	x := openFile(t, filepath.Join(t.TempDir(), "vectors"), Euclidean)
	if err := x.Add(vectors(rng, 0, 500, 3)...); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				hits, err := x.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: []float32{1, 2, 3}}}, 400)
				if err != nil {
					if !errors.Is(err, errClosed) {
						t.Error(err)
					}
					return
				}
				if len(hits[0]) != 400 {
					t.Errorf("%d hits", len(hits[0]))
				}
			}
		})
	}
	for i := range 30 {
		if err := x.Add(vectors(rng, 0, 500, 3)...); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			if err := x.Compact(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// The child of TestFileSurvivesKill: it adds, each time a batch of items that
// all have the same value, and says so after each.
func TestMain(m *testing.M) {
	path := os.Getenv("SIMILARITY_TEST_WRITE")
	if path == "" {
		os.Exit(m.Run())
	}
	x, err := OpenFile(path, Euclidean)
	for batch := 1; err == nil; batch++ {
		err = x.Add(killItems(batch)...)
		fmt.Println(batch)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

const killRows, killDim = 4000, 300

// killItems are a batch, in which all have one value.
func killItems(batch int) []Item {
	items := make([]Item, killRows)
	for i := range items {
		items[i] = Item{fmt.Sprint(i), vector.Vector{Space: "s", Values: slices.Repeat([]float32{float32(batch)}, killDim)}}
	}
	return items
}

// killWithin kills the process when, after some frames, the file is seen to end
// in the middle of one.
func killWithin(p *os.Process, path string, frames int, stop chan struct{}) {
	frame := int64(len(rowsFrame(killItems(1))))
	for {
		select {
		case <-stop:
			return
		default:
		}
		info, err := os.Stat(path)
		if err != nil {
			continue // not there yet
		}
		if size := info.Size() - align; size > int64(frames)*frame && size%frame != 0 {
			_ = p.Kill()
			return
		}
	}
}

// TestFileSurvivesKill kills processes that write, until one was in the middle
// of a frame. All that was acknowledged must be there, and each batch whole.
func TestFileSurvivesKill(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "vectors")
	torn := 0
	for try := 0; torn == 0 || try < 4; try++ {
		if try == 40 {
			t.Fatal("no process died in the middle of a frame")
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), "SIMILARITY_TEST_WRITE="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var killer sync.WaitGroup
		killer.Go(func() { killWithin(child.Process, path, rng.IntN(4), stop) })
		lines := bufio.NewScanner(out)
		acknowledged := 0
		for lines.Scan() {
			if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		killer.Wait()
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		x := openFile(t, path, Euclidean)
		if x.Dropped() > 0 {
			torn++
		}
		hits, err := x.Nearest(t.Context(), []vector.Vector{{Space: "s", Values: make([]float32, killDim)}}, killRows)
		if err != nil {
			t.Fatal(err)
		}
		if acknowledged == 0 && len(hits[0]) == 0 {
			continue
		}
		if len(hits[0]) != killRows || hits[0][0].Distance != hits[0][killRows-1].Distance {
			t.Fatalf("%d items, from %v to %v: want %d of one batch", len(hits[0]), hits[0][0], hits[0][len(hits[0])-1], killRows)
		}
		there, err := Euclidean.Distance(make([]float32, killDim), slices.Repeat([]float32{float32(acknowledged)}, killDim))
		if err != nil {
			t.Fatal(err)
		}
		if hits[0][0].Distance < there {
			t.Fatalf("batch %d was acknowledged, and the items are at %v, not at %v or farther", acknowledged, hits[0][0].Distance, there)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d processes died in the middle of a frame", torn)
}

func FuzzReplay(f *testing.F) {
	one := []Item{{"a", vector.Vector{Space: "s", Values: []float32{1, 2}}}}
	many := vectors(rand.New(rand.NewPCG(1, 0)), 0, 70, 2)
	f.Add(append(fileHead(Euclidean), rowsFrame(one)...))
	f.Add(append(append(fileHead(Euclidean), rowsFrame(many)...), deleteFrame([]string{"000001"})...))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksums are put right, so that the fields behind them get their turn.
		if len(b) >= align {
			b = append(fileHead(Euclidean), b[align:]...)
			if body := b[align:]; len(body) >= align {
				resealFrame(body)
			}
		}
		x, end, err := replay(b, layout{})
		if err != nil {
			return
		}
		if end > int64(len(b)) {
			t.Fatalf("%d bytes are whole, of %d", end, len(b))
		}
		var again bytes.Buffer
		if err := x.writeFrames(&again); err != nil {
			t.Fatal(err)
		}
		y, _, err := replay(again.Bytes(), layout{})
		if err != nil || y.Len() != x.Len() {
			t.Fatalf("%d items, written anew %d, %v", x.Len(), y.Len(), err)
		}
	})
}
