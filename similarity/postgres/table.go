package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace-go/millrace/stage"
)

// DefaultTimeout bounds a statement where [Table.Timeout] is 0.
const DefaultTimeout = 30 * time.Second

// Table says where vectors are kept: one row an item, with its id and its
// vector's space (text), and its values (vector, of pgvector). Vectors of several
// spaces may share a table.
type Table struct {
	// Pool are the connections. Required.
	Pool *pgxpool.Pool
	// Schema of the table; by default "public".
	Schema string
	// Name of the table. Required.
	Name string
	// The columns; by default "id", "space" and "vector".
	IDColumn, SpaceColumn, VectorColumn string
	// Timeout bounds each statement; 0 means [DefaultTimeout]. An earlier
	// deadline of the caller's holds.
	Timeout time.Duration
}

// name is narrower than PostgreSQL's own grammar: nothing in it needs quotes,
// and it is no longer than what PostgreSQL tells apart.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// withDefaults fills what is empty, and reports all that is wrong at once.
func (t Table) withDefaults() (Table, error) {
	if t.Pool == nil {
		return t, errors.New("postgres: Pool: no connections; make them with pgxpool.New of github.com/jackc/pgx/v5")
	}
	t.Schema = cmp.Or(t.Schema, "public")
	t.IDColumn = cmp.Or(t.IDColumn, "id")
	t.SpaceColumn = cmp.Or(t.SpaceColumn, "space")
	t.VectorColumn = cmp.Or(t.VectorColumn, "vector")
	t.Timeout = cmp.Or(t.Timeout, DefaultTimeout)
	var errs []error
	for _, f := range [][2]string{
		{"Schema", t.Schema}, {"Name", t.Name}, {"IDColumn", t.IDColumn}, {"SpaceColumn", t.SpaceColumn}, {"VectorColumn", t.VectorColumn},
	} {
		if !name.MatchString(f[1]) {
			errs = append(errs, fmt.Errorf("postgres: %s: %q does not match %v", f[0], f[1], name))
		}
	}
	if t.Timeout < 0 {
		errs = append(errs, fmt.Errorf("postgres: Timeout: %v is negative", t.Timeout))
	}
	if t.IDColumn == t.SpaceColumn || t.IDColumn == t.VectorColumn || t.SpaceColumn == t.VectorColumn {
		errs = append(errs, fmt.Errorf("postgres: columns %q, %q and %q must differ", t.IDColumn, t.SpaceColumn, t.VectorColumn))
	}
	return t, errors.Join(errs...)
}

// String is schema.table.
func (t Table) String() string { return t.Schema + "." + t.Name }

// sql fills the checked names into a statement: {table}, {id}, {space} and
// {vector}, quoted.
func (t Table) sql(text string) string {
	return strings.NewReplacer(
		"{table}", `"`+t.Schema+`"."`+t.Name+`"`,
		"{id}", `"`+t.IDColumn+`"`,
		"{space}", `"`+t.SpaceColumn+`"`,
		"{vector}", `"`+t.VectorColumn+`"`,
	).Replace(text)
}

// Ensure makes the extension and the table where they are missing; again does
// nothing. The extension needs a superuser, once, unless the server trusts it.
// An index is left to whoever wants one: see [WithIndex].
func (t Table) Ensure(ctx context.Context) error {
	t, err := t.withDefaults()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	tx, err := t.Pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("postgres: %w", explain(err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing after a commit
	for _, sql := range []string{
		"SELECT pg_advisory_xact_lock(hashtext('millrace'))", // two that create the same at once can fail: one waits
		"CREATE EXTENSION IF NOT EXISTS vector",
		t.sql("CREATE TABLE IF NOT EXISTS {table} ({id} text NOT NULL, {space} text NOT NULL, {vector} vector NOT NULL, PRIMARY KEY ({space}, {id}))"),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("postgres: creating %v: %w", t, explain(err))
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("postgres: creating %v: %w", t, explain(err))
	}
	return nil
}

// explain marks the errors that trying again cannot mend as stage.Permanent:
// those of the statement, the data and the login.
func explain(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && len(e.Code) == 5 {
		switch e.Code[:2] {
		case "22", "23", "28", "3D", "3F", "42":
			return stage.Permanent(err)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time (Table.Timeout, or the caller's deadline): %w", err)
	}
	return err
}
