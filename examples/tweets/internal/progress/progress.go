// Package progress tells a person how far long work is: a bar with rate and
// time left on a terminal, a line now and then elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Reporter tells about work, on standard error as a rule. It is safe for
// concurrent use, but for one Bar at a time.
type Reporter struct {
	w        io.Writer
	terminal bool
}

// New returns a reporter that writes to file.
func New(file *os.File) *Reporter {
	info, err := file.Stat()
	return &Reporter{w: file, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// To returns a reporter that writes plain lines to w.
func To(w io.Writer) *Reporter { return &Reporter{w: w} }

// Say writes a line.
func (r *Reporter) Say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.w, format+"\n", args...) // nowhere to report that to
}

// Bar is the progress of one piece of work.
type Bar struct {
	r     *Reporter
	title string
	total int
	first int
	begun time.Time
	bar   *progressbar.ProgressBar // nil off a terminal

	mu   sync.Mutex
	last time.Time
}

// every is how often a bar becomes a line where there is no terminal.
const every = 5 * time.Second

// Bar begins one: total steps, of which have are done already.
func (r *Reporter) Bar(title string, total, have int) *Bar {
	b := &Bar{r: r, title: title, total: total, first: have, begun: time.Now(), last: time.Now()}
	switch {
	case r.terminal:
		b.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(r.w), progressbar.OptionSetDescription(title), progressbar.OptionFullWidth(),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("posts"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		_ = b.bar.Set(have)
	case have > 0:
		r.Say("%s: %d of %d are there already", title, have, total)
	}
	return b
}

// Set says how many steps are done.
func (b *Bar) Set(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Set(n) // a bar that can't be drawn is no reason to stop
		return
	}
	if now := time.Now(); now.Sub(b.last) >= every && n > b.first {
		b.last = now
		rate := float64(n-b.first) / now.Sub(b.begun).Seconds()
		left := time.Duration(float64(b.total-n) / rate * float64(time.Second))
		b.r.Say("%s: %d of %d, %.0f/s, %v left", b.title, n, b.total, rate, left.Round(time.Second))
	}
}

// Done ends the bar.
func (b *Bar) Done() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
