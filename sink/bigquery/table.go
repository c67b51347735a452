package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"cloud.google.com/go/bigquery"
	storage "cloud.google.com/go/bigquery/storage/apiv1"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/googleapis/gax-go/v2"

	"github.com/millrace-go/millrace/internal/bqname"
	"github.com/millrace-go/millrace/stage"
)

// DefaultTimeout bounds a request where [Table.Timeout] is 0.
const DefaultTimeout = time.Minute

// Table says where rows go: a table that is there, whose columns have the
// names and types of the rows' fields. It may have others that are NULLABLE.
type Table struct {
	// Client is for [Load] and [Insert].
	Client *bigquery.Client
	// Storage is for [Append] and [AppendOnce].
	Storage *storage.BigQueryWriteClient
	// Project of the table; by default that of Client.
	Project string
	// Dataset and Name of the table. Required.
	Dataset, Name string
	// Timeout bounds each request, since BigQuery's clients try again for as
	// long as their context lives; 0 means [DefaultTimeout]. A load job may
	// take ten times as long.
	Timeout time.Duration
	// Linger is how long rows are collected for a request, or a load job,
	// after the first of them. It matters to [Load] above all: a table takes
	// 1,500 jobs a day. 0 means 1 s for Load and 10 ms for Insert and Append;
	// AppendOnce does not linger.
	Linger time.Duration
}

// longest is a name of a data set, or of a table: a stream's name is committed
// to Kafka, and holds both.
const longest = 500

// withDefaults fills what is empty, and reports all that is wrong at once.
func (t Table) withDefaults() (Table, error) {
	if t.Client != nil {
		t.Project = cmp.Or(t.Project, t.Client.Project())
	}
	t.Timeout = cmp.Or(t.Timeout, DefaultTimeout)
	var errs []error
	for _, f := range []struct {
		field, value string
		grammar      *regexp.Regexp
	}{
		{"Project", t.Project, bqname.Project},
		{"Dataset", t.Dataset, bqname.Dataset(longest)},
		{"Name", t.Name, bqname.Table(longest)},
	} {
		if !f.grammar.MatchString(f.value) {
			errs = append(errs, fmt.Errorf("bigquery: Table.%s: %q does not match %v", f.field, f.value, f.grammar))
		}
	}
	if t.Timeout < 0 || t.Linger < 0 {
		errs = append(errs, errors.New("bigquery: Table.Timeout, Table.Linger: must not be negative"))
	}
	return t, errors.Join(errs...)
}

// forJobs is what Load and Insert need.
func (t Table) forJobs() (Table, error) {
	t, err := t.withDefaults()
	if t.Client == nil {
		err = errors.Join(err, errors.New("bigquery: Table.Client: missing; make one with bigquery.NewClient of cloud.google.com/go/bigquery"))
	}
	return t, err
}

// forStorage is what Append and AppendOnce need.
func (t Table) forStorage() (Table, error) {
	t, err := t.withDefaults()
	if t.Storage == nil {
		err = errors.Join(err, errors.New("bigquery: Table.Storage: missing; make one with storage.NewBigQueryWriteClient of cloud.google.com/go/bigquery/storage/apiv1"))
	}
	return t, err
}

// String is project.dataset.table.
func (t Table) String() string { return t.Project + "." + t.Dataset + "." + t.Name }

// path is the table's name in the Storage Write API.
func (t Table) path() string {
	return "projects/" + t.Project + "/datasets/" + t.Dataset + "/tables/" + t.Name
}

// handle is the table for jobs.
func (t Table) handle() *bigquery.Table {
	return t.Client.DatasetInProject(t.Project, t.Dataset).Table(t.Name)
}

// onlyOnce leaves trying again to the caller, who logs it: the client would
// pause for 10 s.
func onlyOnce() gax.CallOption { return gax.WithRetry(func() gax.Retryer { return nil }) }

// target is where the rows of a kind of sink go.
func target(check func(context.Context) error, open func(context.Context, stage.Env) (stage.Writer, error)) stage.Target {
	return stage.Target{
		Open:  open,
		Check: func(ctx context.Context, _ stage.Env) error { return check(ctx) },
	}
}

// checkJobs looks whether the table is there.
func (t Table) checkJobs(ctx context.Context) error {
	t, err := t.forJobs()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	if _, err := t.handle().Metadata(ctx, bigquery.WithMetadataView(bigquery.BasicMetadataView)); err != nil {
		return t.missing(err)
	}
	return nil
}

// checkStorage looks whether the table is there.
func (t Table) checkStorage(ctx context.Context) error {
	t, err := t.forStorage()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	if _, err := t.Storage.GetWriteStream(ctx, &storagepb.GetWriteStreamRequest{Name: t.path() + "/streams/_default"}, onlyOnce()); err != nil {
		return t.missing(err)
	}
	return nil
}

func (t Table) missing(err error) error {
	return fmt.Errorf("bigquery: looking for table %v, which must be there before the stage begins: %w", t, err)
}
