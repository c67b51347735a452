package millrace

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace-go/millrace"

// allowed lists, for each public package, what of the world it may bring to
// its importers besides the standard library and golang.org/x: the modules'
// paths, or their beginnings.
var allowed = map[string][]string{
	"":                          {},
	"stage":                     {},
	"stage/stagetest":           {},
	"stage/kafka":               kafkaClient,
	"stage/kafkatest":           append([]string{"github.com/twmb/franz-go"}, kafkaClient...),
	"stage/reply":               kafkaClient,
	"source":                    kafkaClient,
	"sink":                      kafkaClient,
	"embed":                     {"github.com/yalue/onnxruntime_go", "github.com/daulet/tokenizers"},
	"reduce":                    {"gonum.org/v1/gonum"},
	"reduce/report":             {"gonum.org/v1/gonum"},
	"similarity":                {},
	"similarity/vector":         {},
	"similarity/similaritytest": {},
	"sink/bigquery":             googleClient,
	"similarity/bigquery":       googleClient,
	"similarity/postgres":       {"github.com/jackc/"},
}

// kafkaClient is sarama, what it stands on, and a login that it lacks.
var kafkaClient = []string{
	"github.com/twmb/franz-go/pkg/sasl", // SCRAM, which sarama leaves to others
	"github.com/IBM/sarama", "github.com/eapache/", "github.com/hashicorp/go-uuid", "github.com/jcmturner/",
	"github.com/klauspost/compress", "github.com/pierrec/lz4", "github.com/rcrowley/go-metrics", "github.com/davecgh/go-spew",
}

// googleClient is BigQuery's client, and what it stands on.
var googleClient = []string{"cloud.google.com/", "google.golang.org/", "github.com/googleapis/", "github.com/google/", "github.com/apache/arrow", "github.com/cespare/xxhash", "github.com/felixge/httpsnoop", "github.com/go-logr/", "github.com/goccy/", "github.com/klauspost/", "github.com/pierrec/lz4", "github.com/zeebo/xxh3", "go.opentelemetry.io/"}

// TestImportersPayOnlyForWhatTheyImport holds what each package links in
// against the list above.
func TestImportersPayOnlyForWhatTheyImport(t *testing.T) {
	for pkg, allow := range allowed {
		t.Run("millrace/"+pkg, func(t *testing.T) {
			t.Parallel()
			path := strings.TrimSuffix(module+"/"+pkg, "/")
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", path).Output()
			if err != nil {
				t.Fatal(err)
			}
			deps := strings.Fields(string(out))
			if !slices.Contains(deps, path) {
				t.Fatalf("go list -deps does not even list %s", path)
			}
			for _, d := range deps {
				if d == module || strings.HasPrefix(d, module+"/") || strings.HasPrefix(d, "golang.org/x/") {
					continue
				}
				if !slices.ContainsFunc(allow, func(a string) bool { return strings.HasPrefix(d, a) }) {
					t.Errorf("imports %s", d)
				}
			}
		})
	}
}

// TestEveryPackageIsListed keeps a new package from slipping past the list.
func TestEveryPackageIsListed(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		pkg := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		if strings.Contains(path+"/", "/internal/") || strings.HasPrefix(pkg, "examples") || strings.HasPrefix(pkg, "benchmarks") {
			continue
		}
		if pkg == "embed/setup" || pkg == "reduce/choose" { // commands, nobody imports them
			continue
		}
		if _, ok := allowed[pkg]; !ok {
			t.Errorf("%s is missing in the list of what it may import", path)
		}
	}
}

// TestSimilarityNeedsNoCgo: a pure-Go program may search, without assembly too.
func TestSimilarityNeedsNoCgo(t *testing.T) {
	for _, pkg := range []string{"stage", "source", "sink", "reduce", "similarity", "similarity/vector"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "purego", module+"/"+pkg)
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not build without cgo: %s", pkg, out)
		}
	}
}
