package embed

import "errors"

// ErrClosed is what a [Model] returns after Close.
var ErrClosed = errors.New("embed: the model is closed")

const (
	installHint = "`go run github.com/millrace-go/millrace/embed/setup` installs it"
	libraryEnv  = "ONNXRUNTIME_SHARED_LIBRARY_PATH"
	modelsEnv   = "MILLRACE_MODELS"
)
