package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace-go/millrace/similarity"
)

// partRows go to the server in one transaction.
const partRows = 2000

// Load creates the table if it is missing and puts the items in, by COPY; an
// item replaces the one of its space and id, and of two with the same id the
// later one counts. The items are of one space and dimension. What was loaded
// before an error stays. progress, if not nil, is called with the number of items
// that are done and that there are, at the start and after each part.
func (t Table) Load(ctx context.Context, items []similarity.Item, progress func(done, total int)) error {
	t, err := t.withDefaults()
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	last := make(map[string]int, len(items)) // where each id's last item is
	for i, it := range items {
		first := items[0].Vector
		err := it.CheckIn(similarity.Euclidean, first.Space, len(first.Values))
		if err == nil && strings.ContainsRune(it.ID+it.Vector.Space, 0) {
			err = fmt.Errorf("id %q, space %q: PostgreSQL stores no NUL in a text", it.ID, it.Vector.Space)
		}
		if err != nil {
			return fmt.Errorf("postgres: item %d: %w", i, err)
		}
		last[it.ID] = i
	}
	if err := t.Ensure(ctx); err != nil {
		return err
	}
	var rows [][]any
	done := 0
	for i, it := range items {
		if i == 0 {
			progress(0, len(last))
		}
		if last[it.ID] == i {
			rows = append(rows, []any{it.ID, it.Vector.Space, it.Vector.Values})
		}
		if len(rows) < partRows && i < len(items)-1 {
			continue
		}
		if err := t.loadPart(ctx, rows); err != nil {
			return fmt.Errorf("postgres: loading %d rows into %v: %w", len(rows), t, explain(err))
		}
		done += len(rows)
		progress(done, len(last))
		rows = rows[:0]
	}
	return nil
}

// loadPart copies rows into a table of its own, since COPY replaces nothing.
func (t Table) loadPart(ctx context.Context, rows [][]any) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	tx, err := t.Pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing after a commit
	if _, err := tx.Exec(ctx, "CREATE TEMPORARY TABLE millrace_part (id text, space text, vector real[]) ON COMMIT DROP"); err != nil {
		return err
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"millrace_part"}, []string{"id", "space", "vector"}, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, t.sql("INSERT INTO {table} ({id}, {space}, {vector}) SELECT id, space, vector::vector FROM millrace_part "+
		"ON CONFLICT ({space}, {id}) DO UPDATE SET {vector} = EXCLUDED.{vector}")); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
