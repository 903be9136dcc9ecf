// Packed layers on disk, so that a model's next start need not pack them again: a file of a header,
// the layers in the order in which they are loaded, and an end. Everything is followed or preceded
// by its hash (XXH3), so damage is found before a value is used.
#ifndef HEED_MODEL_TRANSFORMER_PACK_FILE_H_
#define HEED_MODEL_TRANSFORMER_PACK_FILE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/file.h"
#include "model/kernels/backend.h"

namespace heed {

// What layers were packed from and for.
struct PackIdentity {
  std::string stamp;   // of the checkpoint's files, as Checkpoint::stamp
  std::string digest;  // as Checkpoint::digest
  std::string form;    // whatever else the layers depend on

  // Layers of one are those of the other.
  bool Matches(const PackIdentity& other) const {
    return digest == other.digest && form == other.form;
  }
};

// The identity of the file at `path`. NOT_FOUND when there is none, DATA_LOSS when it is damaged or
// no such file.
absl::StatusOr<PackIdentity> ReadPackIdentity(const std::string& path);

// A layer's entry, but for its values.
struct PackedLayer {
  std::string name;
  LinearForm form;
  double lost = 0;  // what fewer bits would have lost of it, where it has more than were asked for
};

// Layers from a file, in its order. Errors: DATA_LOSS when the file is damaged, or is not what it
// is taken for.
class PackReader {
 public:
  // FAILED_PRECONDITION when the file is of another identity, NOT_FOUND when there is none. One
  // that has another stamp gets this one: the checkpoint's files were moved or touched.
  static absl::StatusOr<std::unique_ptr<PackReader>> Open(const std::string& path,
                                                          const PackIdentity& identity);

  // The next layer, called `name`, of `rows` x `cols`, with a bias or none.
  absl::StatusOr<std::unique_ptr<Linear>> Next(absl::string_view name, int64_t rows, int64_t cols,
                                               bool has_bias, const Backend& backend,
                                               PackedLayer* entry);

  // There is nothing behind the last layer.
  absl::Status Finish();

 private:
  PackReader(std::unique_ptr<File> file, int64_t offset)
      : file_(std::move(file)), offset_(offset) {}
  absl::Status Damaged(absl::string_view what) const;
  absl::Status Read(absl::Span<char> out);
  absl::Status ReadValues(absl::Span<char> out, uint64_t hash);

  const std::unique_ptr<File> file_;
  int64_t offset_;
};

// Writes a file, which has its name only once it is complete. What is not finished is removed.
class PackWriter {
 public:
  // Makes the folders that `path` names, and removes from the last one what processes that were
  // ended left of copies with the same extension. Errors of the system, with the path.
  static absl::StatusOr<std::unique_ptr<PackWriter>> Create(const std::string& path,
                                                            const PackIdentity& identity);
  ~PackWriter();
  PackWriter(const PackWriter&) = delete;
  PackWriter& operator=(const PackWriter&) = delete;

  void Add(const PackedLayer& entry, Linear& linear);
  // The first error of all that was added.
  absl::Status Finish();

 private:
  PackWriter(std::string path, std::string temporary, std::FILE* file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(file) {}
  void Write(absl::Span<const char> bytes);
  absl::Status Failed() const;

  const std::string path_, temporary_;
  std::FILE* file_;
  absl::Status status_;
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_PACK_FILE_H_
