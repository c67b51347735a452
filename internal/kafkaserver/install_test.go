package kafkaserver

import (
	"os"
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
