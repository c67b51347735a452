package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// times are the milliseconds that the app gives with an answer.
type times struct {
	Total, Embed, Nearest float64
}

// app is the tweets app while it runs: its prompt, and its other parts where
// they are processes of their own.
type app struct {
	prompt *part
	in     io.WriteCloser
	out    *bufio.Reader
	stop   context.CancelFunc

	others sync.WaitGroup
	mu     sync.Mutex
	errs   []error // of the others
}

// part is a process, and what it said.
type part struct {
	cmd  *exec.Cmd
	said bytes.Buffer
}

// newPart makes a process that ends, when ctx does, as by Ctrl-C.
func newPart(ctx context.Context, o *options, args ...string) *part {
	if o.archive != "" {
		args = append(args, "-archive", o.archive)
	}
	p := &part{cmd: exec.CommandContext(ctx, o.tweets, args...)}
	p.cmd.Stderr = &p.said
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = time.Minute
	return p
}

// interrupted is the app's exit code after a signal.
const interrupted = 130

func (p *part) wait() error {
	err := p.cmd.Wait()
	if err == nil || p.cmd.ProcessState != nil && p.cmd.ProcessState.ExitCode() == interrupted {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", strings.Join(p.cmd.Args, " "), err, strings.TrimSpace(p.said.String()))
}

// prepare has the app prepare the archive, and returns how many tweets it has.
func prepare(ctx context.Context, o *options, errs io.Writer) (tweets int, err error) {
	if _, err := os.Stat(o.tweets); err != nil {
		return 0, fmt.Errorf("%w; `make bench-app` builds it", err)
	}
	p := newPart(ctx, o, "prepare")
	p.cmd.Stderr = io.MultiWriter(&p.said, errs)
	if err := p.cmd.Start(); err != nil {
		return 0, err
	}
	if err := p.wait(); err != nil {
		return 0, err
	}
	ready := regexp.MustCompile(`ready: (\d+) tweets`).FindSubmatch(p.said.Bytes())
	if ready == nil {
		return 0, errors.New("the app does not say how many tweets it has")
	}
	return strconv.Atoi(string(ready[1]))
}

// startApp starts the app. The first question waits until all of it is there.
func startApp(ctx context.Context, o *options, p place, prefix string) (*app, error) {
	ctx, stop := context.WithCancel(ctx)
	a := &app{stop: stop}
	var others []string
	args := []string{"-json"}
	if p.apart {
		at := []string{"-brokers", strings.Join(p.addrs, ","), "-topics", prefix}
		others = []string{"embed", "nearest"}
		args = append([]string{"ask", "-json"}, at...)
		for _, name := range others {
			if err := a.startOther(newPart(ctx, o, append([]string{name}, at...)...)); err != nil {
				return nil, errors.Join(err, a.close())
			}
		}
	}
	prompt := newPart(ctx, o, args...)
	in, err := prompt.cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	out, err := prompt.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	if err := prompt.cmd.Start(); err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.prompt, a.in, a.out = prompt, in, bufio.NewReader(out)
	return a, nil
}

// startOther starts a part. If it ends too soon so does all.
func (a *app) startOther(p *part) error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	a.others.Go(func() {
		defer a.stop()
		if err := p.wait(); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.errs = append(a.errs, err)
		}
	})
	return nil
}

// ask asks a question, and returns the answer's times and size.
func (a *app) ask(text string) (times, int, error) {
	// A question that fails is no line of output; nor is one without an end.
	late := time.AfterFunc(time.Minute, a.stop)
	defer late.Stop()
	if _, err := io.WriteString(a.in, text+"\n"); err != nil {
		return times{}, 0, fmt.Errorf("ask the app: %w", err)
	}
	line, err := a.out.ReadBytes('\n')
	if err != nil {
		return times{}, 0, fmt.Errorf("no answer from the app: %w", err)
	}
	var answer struct {
		Question string
		Hits     []json.RawMessage
		MS       times
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return times{}, 0, fmt.Errorf("the app's answer %q: %w", line, err)
	}
	if answer.Question != text || len(answer.Hits) == 0 || answer.MS.Embed <= 0 || answer.MS.Nearest <= 0 {
		return times{}, 0, fmt.Errorf("to %q the app answers %q", text, line)
	}
	return answer.MS, len(line) - 1, nil
}

// close ends the input, which ends the prompt, and then stops the others.
func (a *app) close() error {
	var errs []error
	if a.prompt != nil {
		errs = append(errs, a.in.Close(), a.prompt.wait())
	}
	a.stop()
	a.others.Wait()
	return errors.Join(append(errs, a.errs...)...)
}
