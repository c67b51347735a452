package emulator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// mender makes of the emulator's answers those of the service, see
// [Emulator.Client].
type mender struct{ next http.RoundTripper }

func (m mender) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost && req.URL.Query().Get("upload_id") != "" {
		req = req.Clone(req.Context()) // a RoundTripper must not change its request
		req.Method = http.MethodPut
	}
	resp, err := m.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusPermanentRedirect {
		// "Resume incomplete": the service says so in a header, since clients ask it
		// not to use a code that means a redirect elsewhere.
		resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
		resp.Header.Set("X-Http-Status-Code-Override", "308")
	}
	if err != nil || req.Method != http.MethodPost || resp.StatusCode != http.StatusOK || !strings.HasSuffix(req.URL.Path, "/queries") {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if failure := queryFailure(body); failure != nil {
		body = failure
		resp.StatusCode, resp.Status = http.StatusBadRequest, "400 Bad Request"
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// queryFailure returns the service's error document for a query's answer that
// carries errors, nil for one that does not.
func queryFailure(answer []byte) []byte {
	type item struct {
		Reason   string `json:"reason"`
		Message  string `json:"message"`
		Location string `json:"location"`
		Domain   string `json:"domain"`
	}
	var in struct {
		Errors []item `json:"errors"`
	}
	if json.Unmarshal(answer, &in) != nil || len(in.Errors) == 0 {
		return nil
	}
	first := in.Errors[0]
	first.Domain = "global"
	var out struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Status  string `json:"status"`
			Errors  []item `json:"errors"`
		} `json:"error"`
	}
	out.Error.Code, out.Error.Status = http.StatusBadRequest, "INVALID_ARGUMENT"
	out.Error.Message, out.Error.Errors = first.Message, []item{first}
	doc, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return doc
}
