// The GGUF container, versions 2 and 3 (ggml-org/ggml, docs/gguf.md): "GGUF", a version, the counts
// of tensors and metadata, key by key the metadata, one by one the tensors' names, sizes and
// places, and after padding the tensors' bytes. All little-endian.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_H_
#define HEED_MODEL_CHECKPOINT_GGUF_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/block_formats.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/gguf_value.h"

namespace heed {

// heed's own limit on what precedes the tensors' bytes; a vocabulary of 256,000 tokens with its
// merges takes about 15 MB.
inline constexpr int64_t kMaxGgufHeaderBytes = int64_t{256} << 20;

struct GgufTensor {
  absl::string_view name;
  const BlockFormat* format = nullptr;
  std::vector<int64_t> shape;  // outermost first, which is the reverse of the file's order
  int64_t offset = 0;          // of the first byte, from the beginning of the file
  int64_t bytes = 0;
};

// The parsed header of one file: its bytes and where in them everything is, so that it takes little
// more memory than it takes in the file. Immutable; what it gives out are views of it.
class GgufHeader {
 public:
  // INVALID_ARGUMENT when anything about the header, or the place of any tensor, is not as the
  // format demands; UNIMPLEMENTED for version 1 and for big-endian files.
  static absl::StatusOr<std::unique_ptr<const GgufHeader>> Read(const File& file);

  // The same for a file called `name`, of `file_bytes` bytes in all, that begins with `bytes`; less
  // the check that what is between the tensors is 0.
  static absl::StatusOr<std::unique_ptr<const GgufHeader>> Parse(absl::string_view name,
                                                                 std::string bytes,
                                                                 int64_t file_bytes);

  GgufHeader(const GgufHeader&) = delete;
  GgufHeader& operator=(const GgufHeader&) = delete;

  const std::string& file() const { return name_; }
  int64_t data_begin() const { return data_begin_; }

  // Metadata, in the order of the keys.
  int64_t value_count() const { return static_cast<int64_t>(values_.size()); }
  GgufValue value(int64_t index) const { return ReadValue(values_[static_cast<size_t>(index)]); }
  std::optional<GgufValue> Find(absl::string_view key) const;
  // INVALID_ARGUMENT when there is none.
  absl::StatusOr<GgufValue> Get(absl::string_view key) const;

  // In the file's order.
  int64_t tensor_count() const { return static_cast<int64_t>(tensors_.size()); }
  GgufTensor tensor(int64_t index) const {
    return ReadTensor(tensors_[static_cast<size_t>(index)]);
  }
  std::optional<GgufTensor> FindTensor(absl::string_view name) const;

 private:
  friend class GgufParser;

  GgufHeader(absl::string_view name, std::string bytes) : name_(name), bytes_(std::move(bytes)) {}

  // Between the tensors.
  absl::Status CheckPadding(const File& file) const;

  GgufValue ReadValue(uint32_t place) const;
  GgufTensor ReadTensor(uint32_t place) const;
  absl::string_view StringAt(uint32_t place) const;
  // In a vector that is sorted by name.
  std::vector<uint32_t>::const_iterator LowerBound(const std::vector<uint32_t>& places,
                                                   absl::string_view text) const;

  const std::string name_;
  std::string bytes_;              // through the last tensor's description, or more
  std::vector<uint32_t> values_;   // places in bytes_, sorted by key
  std::vector<uint32_t> tensors_;  // places in bytes_, in the file's order
  std::vector<uint32_t> tensors_by_name_;
  int64_t data_begin_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_H_
