package bigquery

// SetBatch lets a test split batches that are not megabytes.
func SetBatch(f *Finder, batch int) { f.batch = batch }
