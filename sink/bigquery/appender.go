package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	storage "cloud.google.com/go/bigquery/storage/apiv1"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// appender appends to one write stream, one request at a time, over a
// connection that it opens again after a failure. It is used by one goroutine.
type appender struct {
	client  *storage.BigQueryWriteClient
	stream  string
	schema  *storagepb.ProtoSchema
	timeout time.Duration

	conn   storagepb.BigQueryWrite_AppendRowsClient
	cancel context.CancelFunc // of the connection
}

// atEnd is the place of rows that go to the end of a stream, wherever that is.
const atEnd = -1

// rowErrors says which rows of a request are to blame that none was written.
type rowErrors []*storagepb.RowError

func (e rowErrors) Error() string {
	return fmt.Sprintf("%d rows are wrong, the first: row %d: %s", len(e), e[0].GetIndex(), e[0].GetMessage())
}

// append adds all of the rows to the stream, at the place, or none. An error
// that is no rowErrors and did not come from the service leaves open which.
func (a *appender) append(ctx context.Context, rows [][]byte, at int64) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := a.ask(ctx, rows, at)
	if err != nil {
		a.close()
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err) // it was cut off
		}
		return err
	}
	if bad := resp.GetRowErrors(); len(bad) > 0 {
		return rowErrors(bad)
	}
	if e := resp.GetError(); e != nil {
		a.close() // whatever state it is in
		return status.ErrorProto(e)
	}
	if got := resp.GetAppendResult().GetOffset(); at != atEnd && got != nil && got.GetValue() != at {
		return status.Errorf(codes.DataLoss, "rows for place %d were written at %d", at, got.GetValue())
	}
	return nil
}

func (a *appender) ask(ctx context.Context, rows [][]byte, at int64) (*storagepb.AppendRowsResponse, error) {
	data := &storagepb.AppendRowsRequest_ProtoData{Rows: &storagepb.ProtoRows{SerializedRows: rows}}
	if a.conn == nil {
		// It lives longer than one request, and ends with one that takes too long.
		conn, cancel := context.WithCancel(context.WithoutCancel(ctx))
		a.cancel = cancel
		stop := context.AfterFunc(ctx, cancel)
		defer stop()
		conn = metadata.AppendToOutgoingContext(conn, "x-goog-request-params", "write_stream="+url.QueryEscape(a.stream))
		var err error
		if a.conn, err = a.client.AppendRows(conn, onlyOnce()); err != nil {
			return nil, err
		}
		data.WriterSchema = a.schema
	}
	stop := context.AfterFunc(ctx, a.cancel)
	defer stop()
	req := &storagepb.AppendRowsRequest{
		WriteStream: a.stream,
		Rows:        &storagepb.AppendRowsRequest_ProtoRows{ProtoRows: data},
		TraceId:     "millrace",
	}
	if at != atEnd {
		req.Offset = wrapperspb.Int64(at)
	}
	// When Send fails, Recv says why.
	_ = a.conn.Send(req)
	return a.conn.Recv()
}

// close ends the connection, if there is one.
func (a *appender) close() {
	if a.cancel != nil {
		a.cancel()
	}
	a.conn, a.cancel = nil, nil
}
