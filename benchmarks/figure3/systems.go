package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/api/iterator"

	"github.com/millrace-go/millrace/internal/emulator"
	"github.com/millrace-go/millrace/internal/pgserver"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/bigquery"
	"github.com/millrace-go/millrace/similarity/postgres"
	"github.com/millrace-go/millrace/similarity/vector"
)

// The systems, in the order of the table.
const (
	inProcess = "millrace"
	pgvector  = "pgvector"
	ourQuery  = "bigquery-emulator"
	paper     = "bigquery-emulator, paper's query"
)

func systems() []string { return []string{paper, ourQuery, pgvector, inProcess} }

// stores are the servers that the systems ask.
type stores struct {
	emulator *emulator.Emulator
	client   *bq.Client
	server   *pgserver.Server
	pool     *pgxpool.Pool
}

func startStores(ctx context.Context) (s *stores, err error) {
	s = &stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.emulator, err = emulator.Start(ctx, ""); err != nil {
		return s, err
	}
	if s.client, err = s.emulator.Client(ctx); err != nil {
		return s, err
	}
	if s.server, err = pgserver.Start(ctx); err != nil {
		return s, err
	}
	s.pool, err = pgxpool.New(ctx, s.server.URL)
	return s, err
}

func (s *stores) close() error {
	var errs []error
	if s.pool != nil {
		s.pool.Close()
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	if s.emulator != nil {
		errs = append(errs, s.emulator.Close())
	}
	return errors.Join(errs...)
}

// open puts the items into all stores and returns each system's Finder.
func (s *stores) open(ctx context.Context, items []similarity.Item, log func(string, ...any)) (map[string]similarity.Finder, error) {
	dim, space := len(items[0].Vector.Values), items[0].Vector.Space
	name := fmt.Sprintf("vectors_%d", dim)

	index := similarity.NewIndex(similarity.Euclidean)
	if err := index.Add(items...); err != nil {
		return nil, err
	}
	// No timeout of a service's counts here: the paper's query may take its time.
	table := bigquery.Table{Client: s.client, Dataset: "figure3", Name: name, Timeout: 5 * time.Minute}
	begin := time.Now()
	if err := table.Load(ctx, items, nil); err != nil {
		return nil, err
	}
	log("%d dimensions: loaded into the emulator in %.1f s", dim, time.Since(begin).Seconds())
	ours, err := bigquery.Open(ctx, table, space, similarity.Euclidean)
	if err != nil {
		return nil, err
	}
	rows := postgres.Table{Pool: s.pool, Name: name, Timeout: 5 * time.Minute}
	begin = time.Now()
	if err := rows.Load(ctx, items, nil); err != nil {
		return nil, err
	}
	if _, err := s.pool.Exec(ctx, "VACUUM ANALYZE "+name); err != nil {
		return nil, err
	}
	log("%d dimensions: loaded into PostgreSQL in %.1f s", dim, time.Since(begin).Seconds())
	inPostgres, err := postgres.Open(ctx, rows, space, similarity.Euclidean)
	if err != nil {
		return nil, err
	}
	return map[string]similarity.Finder{inProcess: index, pgvector: inPostgres, ourQuery: ours, paper: papers{s.client, name}}, nil
}

// papers asks in the shape of the paper's query: every value of every row is a
// row, joined with the question's value at the same place. Names are fixed
// ones.
type papers struct {
	client *bq.Client
	table  string
}

func (p papers) Nearest(ctx context.Context, queries []vector.Vector, k int) ([][]similarity.Hit, error) {
	all := make([][]similarity.Hit, len(queries))
	for i, v := range queries {
		values := make([]float64, len(v.Values))
		for j, x := range v.Values {
			values[j] = float64(x)
		}
		q := p.client.Query(`
SELECT t.id AS id, SQRT(SUM(POW(a - b, 2))) AS distance
FROM figure3.` + p.table + ` AS t CROSS JOIN UNNEST(t.vector) AS a WITH OFFSET AS i
JOIN UNNEST(@question) AS b WITH OFFSET AS j ON i = j
GROUP BY id
ORDER BY distance, id
LIMIT @k`)
		q.Parameters = []bq.QueryParameter{{Name: "question", Value: values}, {Name: "k", Value: int64(k)}}
		rows, err := q.Read(ctx)
		if err != nil {
			return nil, err
		}
		for {
			var row struct {
				ID       string
				Distance float64
			}
			err := rows.Next(&row)
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], similarity.Hit(row))
		}
	}
	return all, nil
}
