// Command setup installs a PostgreSQL with pgvector into the cache folder, for
// `make setup`. It tells what it does on standard error, and does nothing
// where it was run before.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/millrace-go/millrace/internal/pgserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := pgserver.Install(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
