package embed

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// The first members of OrtApiBase, which never change (onnxruntime_c_api.h).
typedef struct {
	const void *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
} api_base;

// library_version gives the version of an ONNX Runtime library, or NULL and
// what is wrong with the file. The caller frees the strings.
static char *library_version(const char *path, char **problem) {
	void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!handle) {
		*problem = strdup(dlerror());
		return NULL;
	}
	api_base *(*base)(void) = (api_base *(*)(void))dlsym(handle, "OrtGetApiBase");
	char *version = NULL;
	if (base) version = strdup(base()->get_version());
	else *problem = strdup("it has no OrtGetApiBase, so it is not ONNX Runtime");
	dlclose(handle);
	return version;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// What the Go binding needs: ONNX Runtime 1.N has the API versions up to N.
const (
	binding    = "github.com/yalue/onnxruntime_go v1.35.0"
	bindingAPI = 29
)

// starting guards the start of ONNX Runtime's environment, of which a process
// has one.
//
//nolint:gochecknoglobals // it guards something global
var starting sync.Mutex

// start loads ONNX Runtime, unless that was done before, by whomever.
func start(library string) error {
	starting.Lock()
	defer starting.Unlock()
	if ort.IsInitialized() {
		if err := checkVersion(ort.GetVersion()); err != nil {
			return fmt.Errorf("embed: what this process has loaded is %w", err)
		}
		return nil
	}
	if _, err := os.Stat(library); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("embed: there is no ONNX Runtime library %s: %s, or set %s", library, installHint, libraryEnv)
	}
	// A name without a slash would be looked up in the system's folders.
	path, err := filepath.Abs(library)
	if err != nil {
		return fmt.Errorf("embed: %w", err)
	}
	// The binding would say no more than "2" for a library of another version.
	version, err := libraryVersion(path)
	if err != nil {
		return fmt.Errorf("embed: cannot load ONNX Runtime from %s: %w", path, err)
	}
	if err := checkVersion(version); err != nil {
		return fmt.Errorf("embed: %s is %w", path, err)
	}
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(); err != nil {
		return fmt.Errorf("embed: starting ONNX Runtime %s from %s: %w", version, path, err)
	}
	return nil
}

func checkVersion(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major != 1 || minor < bindingAPI {
		return fmt.Errorf("ONNX Runtime %s, but the binding %s needs 1.%d or a newer 1.x: %s", version, binding, bindingAPI, installHint)
	}
	return nil
}

func libraryVersion(path string) (string, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var problem *C.char
	version := C.library_version(name, &problem)
	if version == nil {
		defer C.free(unsafe.Pointer(problem))
		return "", errors.New(C.GoString(problem))
	}
	defer C.free(unsafe.Pointer(version))
	return C.GoString(version), nil
}
