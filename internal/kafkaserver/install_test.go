package kafkaserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckRefusesWhatIsNotPinned(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		if err := check(t.TempDir()); err == nil || !strings.Contains(err.Error(), "kafka-clients-"+Version+".jar") {
			t.Errorf("got %v, want an error that names the missing jars", err)
		}
	})
	for _, name := range []string{"kafka-clients-" + Version + ".jar", "stranger.jar"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), []byte("not Kafka"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := check(dir); err == nil || !strings.Contains(err.Error(), name+" is not what was pinned") {
				t.Errorf("got %v, want an error that names %s", err, name)
			}
		})
	}
}

// TestKillTellsWhoWasFirst: a test that kills must not count the end of a
// process that had crashed before.
func TestKillTellsWhoWasFirst(t *testing.T) {
	p, err := StartProcess(exec.CommandContext(t.Context(), "sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("killing what runs: %v", err)
	}
	p, err = StartProcess(exec.CommandContext(t.Context(), "true"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Kill(); err == nil {
		t.Error("killing what has ended is no error")
	}
}
