// Tweets is the app that Millrace grew out of: ask it a sentence, and it finds
// the most similar tweets, through Kafka.
//
//	prompt -> questions -> embed stage -> vectors -> nearest stage -> answers -> prompt
//
// Run it without a command for everything in one process, or each part as a
// process of its own against any Kafka. -h tells the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/millrace-go/millrace/examples/tweets/internal/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the drain
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is one run of the program: what was asked for, and the streams.
type app struct {
	options
	in     io.Reader
	out    io.Writer
	err    io.Writer
	report *progress.Reporter
	log    *slog.Logger
}

// commands are the parts. The empty one is all of them.
func commands() map[string]func(*app, context.Context) error {
	return map[string]func(*app, context.Context) error{
		"":        (*app).demo,
		"prepare": (*app).prepare,
		"broker":  (*app).broker,
		"embed":   (*app).embed,
		"nearest": (*app).nearest,
		"ask":     (*app).ask,
		"cost":    (*app).cost,
	}
}

// run is main without the process around it; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	command := ""
	if len(args) > 0 && (args[0] == "" || args[0][0] != '-') {
		command, args = args[0], args[1:]
	}
	do, ok := commands()[command]
	if !ok {
		_, _ = fmt.Fprintf(errs, "tweets: unknown command %q; -h lists them\n", command)
		return 2
	}
	a := &app{in: in, out: out, err: errs, report: progress.To(errs)}
	if file, ok := errs.(*os.File); ok {
		a.report = progress.New(file)
	}
	switch err := a.parse(args, errs); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(errs, "tweets:", err)
		return 2
	}
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	a.log = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))

	err := do(a, ctx)
	if err != nil && ctx.Err() == nil || err != nil && !errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(errs, "tweets:", err)
		return 1
	}
	if ctx.Err() != nil {
		return 130
	}
	return 0
}
