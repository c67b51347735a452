package child

import (
	"os/exec"
	"testing"
)

// TestKillTellsWhoWasFirst: a test that kills must not count the end of a
// process that had crashed before.
func TestKillTellsWhoWasFirst(t *testing.T) {
	p, err := Start(exec.CommandContext(t.Context(), "sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("killing what runs: %v", err)
	}
	p, err = Start(exec.CommandContext(t.Context(), "true"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Kill(); err == nil {
		t.Error("killing what has ended is no error")
	}
}
