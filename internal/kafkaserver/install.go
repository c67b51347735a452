package kafkaserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/internal/cachedir"
)

// Version is Kafka's.
const Version = "4.3.1"

// pom names Kafka, all it needs at run time, and what joins its slf4j with
// its log4j.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + Version + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version></dependency>
  </dependencies>
</project>
`

const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// jars are the checksums of all that is installed, in sha256sum's format.
//
//go:embed jars.sha256
var jars string

// Dir is where Install puts this version unless told otherwise: below
// MILLRACE_CACHE, by default millrace under the user's cache directory.
func Dir() (string, error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", fmt.Errorf("kafkaserver: %w", err)
	}
	return filepath.Join(cache, "kafka-"+Version), nil
}

// Install puts Kafka's jars into dir by mvn, checks them, and tells log what
// it does. Where they are already it only checks them. It waits for another
// process that is at it. About 10 s and 44 MB.
func Install(ctx context.Context, dir string, log io.Writer) error {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("kafkaserver: needs java 17 or newer and mvn, and there is no %s on the PATH (on Debian: apt install openjdk-17-jre-headless maven)", tool)
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock", log)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		if err := check(dir); err != nil {
			return fmt.Errorf("%w; remove %s to install it anew", err, dir)
		}
		return nil
	}
	begin := time.Now()
	fmt.Fprintf(log, "Kafka %s: installing into %s (44 MB, some seconds)\n", Version, dir)
	made, err := os.MkdirTemp(filepath.Dir(dir), "kafka-")
	if err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	defer func() { _ = os.RemoveAll(made) }() // nothing is left of it where it was renamed
	if err := os.WriteFile(filepath.Join(made, "pom.xml"), []byte(pom), 0o644); err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	lib := filepath.Join(made, "lib")
	if err := download(ctx, filepath.Join(made, "pom.xml"), lib, log); err != nil {
		return err
	}
	if err := check(lib); err != nil {
		return err
	}
	if err := os.Rename(lib, dir); err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	fmt.Fprintf(log, "Kafka %s: installed in %.0f s\n", Version, time.Since(begin).Seconds())
	return nil
}

// download runs mvn, a few times if need be: registries have bad moments.
func download(ctx context.Context, pom, lib string, log io.Writer) error {
	const tries = 3
	for try := 1; ; try++ {
		cmd := exec.CommandContext(ctx, "mvn", "-B", "-f", pom, copyDependencies, "-DincludeScope=runtime", "-DoutputDirectory="+lib)
		out, err := follow(cmd, log)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("kafkaserver: mvn: %w\n%s", err, out)
		if try == tries || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(log, "Kafka %s: mvn failed, trying again\n", Version)
	}
}

// follow runs mvn and makes a line of every tenth jar that it fetched. It
// returns the end of what mvn said.
func follow(cmd *exec.Cmd, log io.Writer) (end []byte, err error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	fetched := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		end = append(append(end, lines.Bytes()...), '\n')
		end = end[max(0, len(end)-2000):]
		if bytes.Contains(lines.Bytes(), []byte("Downloaded from")) && bytes.Contains(lines.Bytes(), []byte(".jar ")) {
			if fetched++; fetched%10 == 0 {
				fmt.Fprintf(log, "Kafka %s: %d jars fetched\n", Version, fetched)
			}
		}
	}
	return end, errors.Join(lines.Err(), cmd.Wait())
}

// check compares the jars in lib with the list.
func check(lib string) error {
	want := make(map[string]string)
	for line := range strings.Lines(jars) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	files, err := os.ReadDir(lib)
	if err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(lib, f.Name()))
		if err != nil {
			return fmt.Errorf("kafkaserver: %w", err)
		}
		sum, ok := want[f.Name()]
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); !ok || got != sum {
			return fmt.Errorf("kafkaserver: %s is not what was pinned: sha256 %s, want %q", f.Name(), got, sum)
		}
		delete(want, f.Name())
	}
	if len(want) > 0 {
		return fmt.Errorf("kafkaserver: missing: %s", strings.Join(slices.Sorted(maps.Keys(want)), ", "))
	}
	return nil
}

// lock holds the file's lock until unlock is called, or the process ends.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kafkaserver: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("kafkaserver: locking %s: %w", path, err)
		}
		if !told {
			fmt.Fprintf(log, "Kafka %s: another process is installing it, waiting\n", Version)
			told = true
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("kafkaserver: waiting for another set-up: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
