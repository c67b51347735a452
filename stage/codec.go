package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Codec turns values into bytes and back. It is used from several goroutines
// at once.
type Codec[T any] interface {
	Encode(T) ([]byte, error)
	Decode([]byte) (T, error)
}

// Topic is a Kafka topic and how its values are written.
type Topic[T any] struct {
	Name  string
	Codec Codec[T]
}

// JSON is the [Codec] of encoding/json. An empty value is an error, not a zero
// T: it is what a tombstone decodes to otherwise.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Encode(v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("stage: JSON of %T: %w", v, err)
	}
	return b, nil
}

func (jsonCodec[T]) Decode(b []byte) (v T, err error) {
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("stage: %T from JSON %q: %w", v, clip(b), err)
	}
	return v, nil
}

// Bytes is the [Codec] that leaves bytes alone.
func Bytes() Codec[[]byte] { return bytesCodec{} }

type bytesCodec struct{}

func (bytesCodec) Encode(b []byte) ([]byte, error) { return b, nil }

// Decode copies: what a transform does to its bytes must not reach a retry or
// a dead letter.
func (bytesCodec) Decode(b []byte) ([]byte, error) { return bytes.Clone(b), nil }

// String is the [Codec] of UTF-8 text. Bytes that are not UTF-8 are an error.
func String() Codec[string] { return stringCodec{} }

type stringCodec struct{}

func (stringCodec) Encode(s string) ([]byte, error) { return []byte(s), nil }

func (stringCodec) Decode(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", fmt.Errorf("stage: %q is not UTF-8 text", clip(b))
	}
	return string(b), nil
}

// clip keeps a quoted value in an error short.
func clip(b []byte) []byte {
	const most = 64
	if len(b) > most {
		return append(b[:most:most], "..."...)
	}
	return b
}
