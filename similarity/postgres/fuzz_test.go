package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace-go/millrace/similarity"
)

// Whatever names are given: they are refused, or stand in the statement as they
// are, between quotes, and change nothing else of it; whatever texts are given
// stay out of it.
func FuzzStatement(f *testing.F) {
	for _, s := range []string{"vectors", `a"b`, "a b", "x; DROP TABLE y", "é", `\"`, "a\x00", "--", "_", "{table}", "{id}", strings.Repeat("a", 64), "a\n", "$1"} {
		for field := range 6 {
			f.Add(s, s, uint(field))
		}
	}
	const mark = "marker"
	statement := func(name, text string, field uint) (string, error) {
		t := Table{Pool: &pgxpool.Pool{}, Name: "vectors"}
		column := "lang"
		*[]*string{&t.Schema, &t.Name, &t.IDColumn, &t.SpaceColumn, &t.VectorColumn, &column}[field%6] = name
		t, err := t.withDefaults()
		if err != nil {
			return "", err
		}
		finder, err := (&Finder{table: t, space: text}).Where(similarity.Condition{Column: column, Value: text})
		if err != nil {
			return "", err
		}
		sql, args := finder.statement([]string{"[1]"}, 3)
		if args[1] != text || args[3] != text {
			return "", errText
		}
		return sql, nil
	}
	f.Fuzz(func(t *testing.T, name, text string, field uint) {
		if name == "" {
			return // a default
		}
		got, err := statement(name, text, field)
		if errors.Is(err, errText) {
			t.Errorf("text %q did not travel as it is", text)
		}
		if err != nil {
			return
		}
		want, err := statement(mark, "text", field)
		if err != nil {
			t.Fatal(err)
		}
		if want = strings.ReplaceAll(want, `"`+mark+`"`, `"`+name+`"`); got != want {
			t.Errorf("name %q makes\n%s\nwant\n%s", name, got, want)
		}
	})
}

const errText = textError("a text was changed")

type textError string

func (e textError) Error() string { return string(e) }
