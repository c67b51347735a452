// Package bqname has the grammars of names in BigQuery, which stand in the text
// of statements. They are narrower than BigQuery's own where that also allows
// spaces or other scripts; none lets a backquote or a backslash through.
package bqname

import (
	"regexp"
	"strconv"
)

// The grammars of projects' and columns' names.
var (
	Project = regexp.MustCompile(`^([a-z][a-z0-9.-]{0,61}:)?[a-z][a-z0-9-]{0,61}[a-z0-9]$`)
	Column  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)
)

// Dataset is the grammar of data sets' names of so many letters at the most.
func Dataset(most int) *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_]{1,` + strconv.Itoa(most) + `}$`)
}

// Table is the grammar of tables' names of so many letters at the most.
func Table(most int) *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_-]{1,` + strconv.Itoa(most) + `}$`)
}
