// The file, or the numbered files, of one GGUF model.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_FILES_H_
#define HEED_MODEL_CHECKPOINT_GGUF_FILES_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/gguf.h"

namespace heed {

// Each part stays open while the checkpoint is, and processes may usually open 1024 files.
inline constexpr int kMaxGgufParts = 512;

// Whether a file of this name is GGUF: it ends in ".gguf".
bool IsGgufName(absl::string_view name);

// "NAME-00002-of-00003.gguf" taken apart.
struct GgufPartName {
  std::string prefix;  // "NAME", with the folder
  int number = 1;      // from 1
  int count = 1;

  std::string Of(int part_number) const;
};
std::optional<GgufPartName> ParseGgufPartName(absl::string_view path);

// Thread-safe once open.
class GgufFiles {
 public:
  // Where a tensor is.
  struct Place {
    GgufTensor tensor;
    const File* file = nullptr;
  };

  // `path` is a model's only file or any one of its parts. Errors as File::Open and
  // GgufHeader::Read; INVALID_ARGUMENT also when the parts do not belong together.
  static absl::StatusOr<GgufFiles> Open(const std::string& path);

  // The first part's, which holds all metadata.
  const GgufHeader& metadata() const { return *parts_.front().header; }

  size_t part_count() const { return parts_.size(); }
  const File& file(size_t part) const { return *parts_[part].file; }
  const GgufHeader& header(size_t part) const { return *parts_[part].header; }

  std::optional<Place> Find(absl::string_view tensor_name) const;
  int64_t tensor_count() const;

 private:
  struct Part {
    std::unique_ptr<File> file;
    std::unique_ptr<const GgufHeader> header;
  };

  absl::Status AddPart(const std::string& path);
  absl::Status CheckPart(int number, int count) const;
  absl::Status CheckWhole(const std::string& path) const;
  absl::Status CheckNamesAcrossParts() const;
  absl::Status CheckTensorCount() const;

  std::vector<Part> parts_;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_FILES_H_
