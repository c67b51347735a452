package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// receipt lies in an installed folder and says what is in it. As long as a
// file's size and time are those of the receipt it need not be read again.
type receipt struct {
	ID    string           `json:"id"`
	Files map[string]entry `json:"files"`
}

type entry struct {
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime"` // nanoseconds since 1970
	SHA256 string `json:"sha256"`
}

const receiptName = ".receipt.json"

func readReceipt(folder string) (r receipt, err error) {
	data, err := os.ReadFile(filepath.Join(folder, receiptName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s is broken: %w", filepath.Join(folder, receiptName), err)
	}
	return r, nil
}

// writeReceipt lists the files of a folder in its receipt.
func writeReceipt(folder, id string) error {
	r := receipt{ID: id, Files: map[string]entry{}}
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		hash, err := sum(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, name)
		r.Files[filepath.ToSlash(rel)] = entry{info.Size(), info.ModTime().UnixNano(), hash}
		return err
	})
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, receiptName), append(data, '\n'), 0o644)
}

// changed lists the files that are not what they were. It reads those whose
// size or time changed, or all of them.
func (r receipt) changed(folder string, all bool) (names []string, err error) {
	for _, rel := range slices.Sorted(maps.Keys(r.Files)) {
		was := r.Files[rel]
		name := filepath.Join(folder, filepath.FromSlash(rel))
		info, err := os.Stat(name)
		if err == nil && !all && info.Size() == was.Size && info.ModTime().UnixNano() == was.MTime {
			continue
		}
		hash := ""
		if err == nil {
			hash, err = sum(name)
		}
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		if hash != was.SHA256 {
			names = append(names, name)
		}
	}
	return names, nil
}
