package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace-go/millrace/similarity"
)

// What is asked, word by word. The questions are read once, not once a row.
func TestGoldenStatements(t *testing.T) {
	table, err := Table{Pool: &pgxpool.Pool{}, Name: "vectors"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	conditions := []similarity.Condition{
		{Column: "lang", Is: similarity.In, Value: []string{"en", `"; DROP TABLE x; --`}},
		{Column: "favorites", Is: similarity.AtLeast, Value: 10},
	}
	const with = "WITH query AS MATERIALIZED (SELECT n, v::vector AS v FROM unnest($1::text[]) WITH ORDINALITY AS texts(v, n)) " +
		"SELECT query.n, hit.id, hit.v::real[], hit.d FROM query CROSS JOIN LATERAL ("
	const where = `FROM "public"."vectors" WHERE "space" = $2 AND "lang" = ANY($4::text[]) AND "favorites" >= $5::bigint`
	for _, c := range []struct {
		finder Finder
		want   string
	}{
		{Finder{metric: similarity.Euclidean}, `SELECT * FROM (SELECT "id" AS id, "vector" AS v, "vector" <-> query.v AS d ` + where + ` OFFSET 0) AS measured ORDER BY d LIMIT $3`},
		{Finder{metric: similarity.Cosine, index: true}, `SELECT "id" AS id, "vector" AS v, "vector" <=> query.v AS d ` + where + ` ORDER BY "vector" <=> query.v LIMIT $3`},
	} {
		c.finder.table, c.finder.space = table, "it's $2"
		f, err := c.finder.Where(conditions...)
		if err != nil {
			t.Fatal(err)
		}
		sql, args := f.statement([]string{"[1]"}, 13)
		if want := with + c.want + ") AS hit ORDER BY query.n, hit.d"; sql != want {
			t.Errorf("asked\n%s\nwant\n%s", sql, want)
		}
		if len(args) != 5 || args[1] != "it's $2" || args[2] != int64(13) || strings.Join(args[3].([]string), "|") != `en|"; DROP TABLE x; --` || args[4] != 10 {
			t.Errorf("with %v", args)
		}
	}
}
