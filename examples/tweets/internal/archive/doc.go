// Package archive reads and cleans a Trump Twitter Archive: one JSON array of
// posts, plain or gzipped, with the field names of the old archive
// (id_str, created_at, retweet_count, ...) or of the newer one (id, date,
// retweets, ...).
//
// Both parts work post by post, so that an archive of any size costs the same
// memory, but for 32 bytes for each text and ID already seen:
//
//	var cleaner archive.Cleaner
//	for post, err := range archive.Read(file, file.Name()) {
//		if err != nil {
//			return err
//		}
//		if post, ok := cleaner.Clean(post); ok {
//			use(post)
//		}
//	}
//	log.Print(cleaner.Stats())
package archive
