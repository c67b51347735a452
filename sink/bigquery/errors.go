package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/millrace-go/millrace/stage"
)

// requestError says what the failure of a whole request means to the stage:
// the service is away or takes no more for now, or it takes nothing at all. No
// row is to blame. err is of the REST or of the gRPC API.
func requestError(what string, t Table, err error) error {
	mark := stage.ErrUnavailable
	if refused(err) {
		mark = stage.ErrRefused
	}
	return fmt.Errorf("bigquery: %s %v: %w: %w", what, t, mark, err)
}

// refused reports whether trying again can't help.
func refused(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		switch e.Code {
		case http.StatusTooManyRequests, http.StatusRequestTimeout:
			return false
		case http.StatusForbidden: // of a quota, or of a permission?
			for _, item := range e.Errors {
				switch item.Reason {
				case "rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded":
					return false
				}
			}
		}
		return e.Code >= 400 && e.Code < 500
	}
	if e, ok := errors.AsType[*bigquery.Error](err); ok { // of a job
		switch e.Reason {
		case "notFound", "accessDenied", "billingNotEnabled", "responseTooLarge":
			return true
		}
		return false
	}
	if s, ok := status.FromError(err); ok {
		return slices.Contains([]codes.Code{
			codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated,
			codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.AlreadyExists, codes.DataLoss,
		}, s.Code())
	}
	return false // a connection that broke, above all
}

// tooLarge reports whether a request was refused for its size.
func tooLarge(err error) bool {
	e, ok := errors.AsType[*googleapi.Error](err)
	return ok && e.Code == http.StatusRequestEntityTooLarge
}

// storageCode is what the Storage Write API says of an error besides its code.
func storageCode(err error) storagepb.StorageError_StorageErrorCode {
	s, _ := status.FromError(err)
	for _, d := range s.Details() {
		if e, ok := d.(*storagepb.StorageError); ok {
			return e.GetCode()
		}
	}
	return storagepb.StorageError_STORAGE_ERROR_CODE_UNSPECIFIED
}
