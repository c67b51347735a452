package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"cloud.google.com/go/civil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// values gives the columns of a struct, by the rules of BigQuery's client:
// its field tags, Null types and slices.
func values(row any, schema bigquery.Schema) (map[string]bigquery.Value, error) {
	v := reflect.ValueOf(row)
	for v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("bigquery: a nil row")
	}
	m, _, err := (&bigquery.StructSaver{Struct: v.Interface(), Schema: schema, InsertID: bigquery.NoDedupeID}).Save()
	if err != nil {
		return nil, err
	}
	return m, checkText("", m)
}

// schemaOf is the schema of the struct that T is, or points to.
func schemaOf[T any]() (bigquery.Schema, error) {
	t := reflect.TypeFor[T]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("bigquery: rows are structs, and %v is none; convert it with sink.As", reflect.TypeFor[T]())
	}
	schema, err := bigquery.InferSchema(reflect.New(t).Elem().Interface())
	if err != nil {
		return nil, fmt.Errorf("bigquery: rows of type %v: %w", t, err)
	}
	return schema, nil
}

// checkText refuses text that is not UTF-8: JSON would change it in silence,
// and the Storage Write API refuse the request it is in.
func checkText(column string, v any) error {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return fmt.Errorf("bigquery: column %s: the text is not UTF-8", column)
		}
	case []string:
		for _, s := range v {
			if err := checkText(column, s); err != nil {
				return err
			}
		}
	case []bigquery.Value:
		for _, e := range v {
			if err := checkText(column, e); err != nil {
				return err
			}
		}
	case map[string]bigquery.Value:
		for name, e := range v {
			if err := checkText(strings.TrimPrefix(column+"."+name, "."), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonRow is a row as JSON.
func jsonRow(row any, schema bigquery.Schema) ([]byte, error) {
	m, err := values(row, schema)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("bigquery: row: %w", err)
	}
	return b, nil
}

// protoRows makes rows for the Storage Write API.
type protoRows struct {
	schema  bigquery.Schema
	message protoreflect.MessageDescriptor
	writer  *storagepb.ProtoSchema
}

func newProtoRows(schema bigquery.Schema) (*protoRows, error) {
	wrong := func(err error) error {
		return fmt.Errorf("bigquery: the rows' schema for the Storage Write API: %w", err)
	}
	table, err := adapt.BQSchemaToStorageTableSchema(schema)
	if err != nil {
		return nil, wrong(err)
	}
	var opts []adapt.ProtoConversionOption
	for _, t := range []storagepb.TableFieldSchema_Type{ // these go as text, which the API takes, too
		storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC,
		storagepb.TableFieldSchema_TIME, storagepb.TableFieldSchema_DATETIME,
	} {
		opts = append(opts, adapt.WithProtoMapping(adapt.ProtoMapping{FieldType: t, Type: descriptorpb.FieldDescriptorProto_TYPE_STRING}))
	}
	d, err := adapt.StorageSchemaToProtoDescriptorWithOptions(table, "row", opts...)
	if err != nil {
		return nil, wrong(err)
	}
	message, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, wrong(fmt.Errorf("a %T", d))
	}
	flat, err := adapt.NormalizeDescriptor(message)
	if err != nil {
		return nil, wrong(err)
	}
	return &protoRows{schema, message, &storagepb.ProtoSchema{ProtoDescriptor: flat}}, nil
}

// encode makes a row of a struct.
func (p *protoRows) encode(row any) ([]byte, error) {
	m, err := values(row, p.schema)
	if err != nil {
		return nil, err
	}
	msg, err := message(p.message, p.schema, m)
	if err != nil {
		return nil, err
	}
	b, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("bigquery: row: %w", err)
	}
	return b, nil
}

func message(d protoreflect.MessageDescriptor, schema bigquery.Schema, m map[string]bigquery.Value) (*dynamicpb.Message, error) {
	msg := dynamicpb.NewMessage(d)
	for i, f := range schema {
		v := m[f.Name]
		if v == nil {
			continue // NULL
		}
		field := d.Fields().Get(i)
		if !f.Repeated {
			x, ok, err := protoValue(field, f, v)
			if err != nil {
				return nil, err
			}
			if ok {
				msg.Set(field, x)
			}
			continue
		}
		list := msg.Mutable(field).List()
		for j, r := 0, reflect.ValueOf(v); j < r.Len(); j++ {
			x, ok, err := protoValue(field, f, r.Index(j).Interface())
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, fmt.Errorf("bigquery: column %s: element %d is NULL", f.Name, j)
			}
			list.Append(x)
		}
	}
	return msg, nil
}

// protoValue gives one value of a column; ok is false for NULL.
func protoValue(field protoreflect.FieldDescriptor, f *bigquery.FieldSchema, v any) (x protoreflect.Value, ok bool, err error) {
	v, ok = notNull(v)
	if !ok {
		return x, false, nil
	}
	switch v := v.(type) {
	case map[string]bigquery.Value:
		if f.Type != bigquery.RecordFieldType {
			break
		}
		msg, err := message(field.Message(), f.Schema, v)
		return protoreflect.ValueOfMessage(msg), true, err
	case time.Time:
		if f.Type == bigquery.TimestampFieldType {
			return protoreflect.ValueOfInt64(v.UnixMicro()), true, nil
		}
	case civil.Date:
		if f.Type == bigquery.DateFieldType {
			return protoreflect.ValueOfInt32(int32(v.DaysSince(civil.Date{Year: 1970, Month: time.January, Day: 1}))), true, nil
		}
	case []byte:
		if field.Kind() == protoreflect.BytesKind {
			return protoreflect.ValueOfBytes(v), true, nil
		}
	}
	r := reflect.ValueOf(v)
	switch kind := field.Kind(); {
	case kind == protoreflect.StringKind && r.Kind() == reflect.String:
		return protoreflect.ValueOfString(r.String()), true, nil
	case kind == protoreflect.BoolKind && r.Kind() == reflect.Bool:
		return protoreflect.ValueOfBool(r.Bool()), true, nil
	case kind == protoreflect.DoubleKind && r.CanFloat():
		return protoreflect.ValueOfFloat64(r.Float()), true, nil
	case kind == protoreflect.Int64Kind && r.CanInt():
		return protoreflect.ValueOfInt64(r.Int()), true, nil
	case kind == protoreflect.Int64Kind && r.CanUint():
		return protoreflect.ValueOfInt64(int64(r.Uint())), true, nil
	}
	return x, false, fmt.Errorf("bigquery: column %s: a %T can't be written as %s", f.Name, v, f.Type)
}

// notNull takes the value out of a Null type.
func notNull(v any) (any, bool) {
	switch v := v.(type) {
	case bigquery.NullString:
		return v.StringVal, v.Valid
	case bigquery.NullGeography:
		return v.GeographyVal, v.Valid
	case bigquery.NullJSON:
		return v.JSONVal, v.Valid
	case bigquery.NullInt64:
		return v.Int64, v.Valid
	case bigquery.NullFloat64:
		return v.Float64, v.Valid
	case bigquery.NullBool:
		return v.Bool, v.Valid
	case bigquery.NullTimestamp:
		return v.Timestamp, v.Valid
	case bigquery.NullDate:
		return v.Date, v.Valid
	case bigquery.NullTime:
		return bigquery.CivilTimeString(v.Time), v.Valid
	case bigquery.NullDateTime:
		return bigquery.CivilDateTimeString(v.DateTime), v.Valid
	}
	return v, true
}
