package bigquery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	storage "cloud.google.com/go/bigquery/storage/apiv1"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	millrace "github.com/millrace-go/millrace/sink/bigquery"
)

// fake is the write half of the Storage API with one table, in memory, as
// Google documents it: a stream takes rows at its end only, a request whole or
// not at all, and nothing after it was finalised. And it breaks as it is told.
type fake struct {
	storagepb.UnimplementedBigQueryWriteServer
	addr string

	// fault, if set, says what goes wrong with the nth request of a method
	// ("create", "finalize" or "append"), from 1.
	fault func(method string, nth int) fault
	// wrong, if set, says what is wrong with a row.
	wrong func(row map[string]any) string

	mu      sync.Mutex
	rows    []string // as JSON
	streams map[string]*fakeStream
	calls   map[string]int
	found   map[string]int // how often a case has come up
}

type fakeStream struct {
	rows      int64
	finalised bool
}

// fault is what goes wrong with a request.
type fault struct {
	before error           // it has no effect
	after  error           // it has, and the answer is lost
	hang   <-chan struct{} // nothing happens until this is closed
	hung   <-chan struct{} // it has effect, and the answer waits until this is closed
}

func startFake(tb testing.TB) *fake {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &fake{addr: l.Addr().String(), streams: make(map[string]*fakeStream), calls: make(map[string]int), found: make(map[string]int)}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(11 << 20))
	storagepb.RegisterBigQueryWriteServer(s, f)
	go func() { _ = s.Serve(l) }()
	tb.Cleanup(s.Stop)
	return f
}

// storageClient is a client of a server on this machine.
func storageClient(ctx context.Context, addr string) (*storage.BigQueryWriteClient, error) {
	return storage.NewBigQueryWriteClient(ctx, option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCConnectionPool(1), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
}

// table is the fake's table.
func (f *fake) table(tb testing.TB) millrace.Table {
	tb.Helper()
	c, err := storageClient(tb.Context(), f.addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return tableOf(c)
}

func tableOf(c *storage.BigQueryWriteClient) millrace.Table {
	return millrace.Table{Storage: c, Project: "millrace", Dataset: "d", Name: "t"}
}

const fakePath = "projects/millrace/datasets/d/tables/t"

// written gives the table's rows, as JSON.
func (f *fake) written() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rows)
}

// count is how often a case has come up.
func (f *fake) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found[what]
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found[what]++
}

// begin counts a request and does what is to go wrong before it.
func (f *fake) begin(ctx context.Context, method string) (fault, error) {
	f.mu.Lock()
	f.calls[method]++
	nth := f.calls[method]
	plan := f.fault
	f.mu.Unlock()
	if plan == nil {
		return fault{}, nil
	}
	what := plan(method, nth)
	if what.before != nil {
		f.note("failed " + method)
		return what, what.before
	}
	return what, f.wait(ctx, what.hang, "hung before "+method)
}

func (f *fake) wait(ctx context.Context, until <-chan struct{}, what string) error {
	if until == nil {
		return nil
	}
	f.note(what)
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// end does what is to go wrong with an answer.
func (f *fake) end(ctx context.Context, method string, what fault) error {
	if what.after != nil {
		f.note("lost an answer to " + method)
		return what.after
	}
	return f.wait(ctx, what.hung, "hung behind "+method)
}

func (f *fake) GetWriteStream(_ context.Context, req *storagepb.GetWriteStreamRequest) (*storagepb.WriteStream, error) {
	if req.GetName() != fakePath+"/streams/_default" {
		return nil, status.Errorf(codes.NotFound, "%s is not here", req.GetName())
	}
	return &storagepb.WriteStream{Name: req.GetName()}, nil
}

func (f *fake) CreateWriteStream(ctx context.Context, req *storagepb.CreateWriteStreamRequest) (*storagepb.WriteStream, error) {
	what, err := f.begin(ctx, "create")
	if err != nil {
		return nil, err
	}
	if req.GetParent() != fakePath {
		return nil, status.Errorf(codes.NotFound, "%s is not here", req.GetParent())
	}
	f.mu.Lock()
	name := fmt.Sprintf("%s/streams/s%d", fakePath, len(f.streams)+1)
	f.streams[name] = &fakeStream{}
	f.mu.Unlock()
	return &storagepb.WriteStream{Name: name, Type: storagepb.WriteStream_COMMITTED}, f.end(ctx, "create", what)
}

func (f *fake) FinalizeWriteStream(ctx context.Context, req *storagepb.FinalizeWriteStreamRequest) (*storagepb.FinalizeWriteStreamResponse, error) {
	what, err := f.begin(ctx, "finalize")
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	s, ok := f.streams[req.GetName()]
	if !ok {
		f.mu.Unlock()
		return nil, status.Errorf(codes.NotFound, "%s is not here", req.GetName())
	}
	s.finalised = true
	n := s.rows
	f.mu.Unlock()
	return &storagepb.FinalizeWriteStreamResponse{RowCount: n}, f.end(ctx, "finalize", what)
}

func (f *fake) AppendRows(conn storagepb.BigQueryWrite_AppendRowsServer) error {
	var message protoreflect.MessageDescriptor
	for {
		req, err := conn.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		what, err := f.begin(conn.Context(), "append")
		if err != nil {
			return err
		}
		if proto.Size(req) > 10<<20 {
			return status.Error(codes.InvalidArgument, "the request has more than 10 MB")
		}
		if d := req.GetProtoRows().GetWriterSchema().GetProtoDescriptor(); d != nil {
			if message, err = fakeMessage(d); err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
		}
		if message == nil {
			return status.Error(codes.InvalidArgument, "a connection without a schema")
		}
		resp, err := f.append(req, message)
		if err != nil {
			return err
		}
		if err := f.end(conn.Context(), "append", what); err != nil {
			return err
		}
		if err := conn.Send(resp); err != nil {
			return err
		}
	}
}

func fakeMessage(d *descriptorpb.DescriptorProto) (protoreflect.MessageDescriptor, error) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("row.proto"), Syntax: proto.String("proto2"), MessageType: []*descriptorpb.DescriptorProto{d},
	}, nil)
	if err != nil {
		return nil, err
	}
	return file.Messages().Get(0), nil
}

// append takes a request, or says in its answer why not.
func (f *fake) append(req *storagepb.AppendRowsRequest, message protoreflect.MessageDescriptor) (*storagepb.AppendRowsResponse, error) {
	var rows []string
	var bad []*storagepb.RowError
	for i, b := range req.GetProtoRows().GetRows().GetSerializedRows() {
		m := dynamicpb.NewMessage(message)
		if err := proto.Unmarshal(b, m); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		var row map[string]any
		if err := json.Unmarshal(text, &row); err != nil {
			return nil, err
		}
		text, _ = json.Marshal(row) // protojson's spaces are random
		rows = append(rows, string(text))
		if f.wrong == nil {
			continue
		}
		if reason := f.wrong(row); reason != "" {
			bad = append(bad, &storagepb.RowError{Index: int64(i), Code: storagepb.RowError_FIELDS_ERROR, Message: reason})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := req.GetWriteStream()
	if strings.HasSuffix(name, "/streams/_default") {
		if req.GetOffset() != nil {
			return fakeError(codes.InvalidArgument, storagepb.StorageError_INVALID_STREAM_TYPE, "an offset for the default stream"), nil
		}
		if len(bad) > 0 {
			return &storagepb.AppendRowsResponse{RowErrors: bad}, nil
		}
		f.rows = append(f.rows, rows...)
		return &storagepb.AppendRowsResponse{WriteStream: name}, nil
	}
	s, ok := f.streams[name]
	at := req.GetOffset().GetValue()
	switch {
	case !ok:
		return fakeError(codes.NotFound, storagepb.StorageError_STREAM_NOT_FOUND, name), nil
	case s.finalised:
		f.found["append to a finalised stream"]++
		return fakeError(codes.InvalidArgument, storagepb.StorageError_STREAM_FINALIZED, name), nil
	case at < s.rows:
		f.found["append of what is there"]++
		return fakeError(codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS, name), nil
	case at > s.rows:
		return fakeError(codes.OutOfRange, storagepb.StorageError_OFFSET_OUT_OF_RANGE, fmt.Sprintf("%d, and %s ends at %d", at, name, s.rows)), nil
	case len(bad) > 0:
		f.found["request with wrong rows"]++
		return &storagepb.AppendRowsResponse{RowErrors: bad, WriteStream: name}, nil
	}
	s.rows += int64(len(rows))
	f.rows = append(f.rows, rows...)
	return &storagepb.AppendRowsResponse{
		Response:    &storagepb.AppendRowsResponse_AppendResult_{AppendResult: &storagepb.AppendRowsResponse_AppendResult{Offset: wrapperspb.Int64(at)}},
		WriteStream: name,
	}, nil
}

// fakeError is an error in an answer, as the service sends it.
func fakeError(code codes.Code, more storagepb.StorageError_StorageErrorCode, text string) *storagepb.AppendRowsResponse {
	s, err := status.New(code, text).WithDetails(&storagepb.StorageError{Code: more, Entity: text})
	if err != nil {
		panic(err)
	}
	return &storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_Error{Error: s.Proto()}}
}
