// The walk through the bytes of a GGUF header.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_PARSER_H_
#define HEED_MODEL_CHECKPOINT_GGUF_PARSER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/gguf.h"

namespace heed {

// Walks the header once, checking everything and noting where things are.
class GgufParser {
 public:
  GgufParser(absl::string_view name, std::string bytes, int64_t file_bytes)
      : header_(new GgufHeader(name, std::move(bytes))),
        cursor_(header_->bytes_),
        file_bytes_(file_bytes) {}

  absl::Status Run();

  // Whether Run failed because the bytes it was given, not the file, ended.
  bool needs_more() const {
    return ran_out_ && static_cast<int64_t>(header_->bytes_.size()) < file_bytes_;
  }

  std::unique_ptr<const GgufHeader> TakeHeader() { return std::move(header_); }

 private:
  absl::Status Invalid(absl::string_view what) const;
  absl::Status RanOut(absl::string_view where);
  uint64_t LeftInFile() const;

  absl::Status ReadPreamble();
  absl::Status CheckVersion(uint32_t version) const;
  absl::Status CheckCount(absl::string_view what, uint64_t count, int64_t min_bytes) const;
  absl::Status ReadName(absl::string_view what, uint64_t max_bytes, absl::string_view* name);
  absl::Status ReadValues();
  absl::Status ReadValue();
  absl::Status SkipScalar(GgufType type, const std::string& where);
  absl::Status SkipArray(const std::string& where);
  absl::Status SkipString(const std::string& where);
  // Refuses a name that is there twice.
  absl::Status SortByName(absl::string_view what, std::vector<uint32_t>& places) const;
  absl::Status ReadAlignment();
  absl::Status ReadTensors();
  absl::Status ReadTensor();
  absl::Status CheckDimensions(absl::string_view where, absl::Span<const uint64_t> dimensions,
                               const BlockFormat& format) const;
  absl::Status CheckPlaces() const;

  std::unique_ptr<GgufHeader> header_;
  ByteCursor cursor_;
  const int64_t file_bytes_;
  uint64_t value_count_ = 0, tensor_count_ = 0;
  int64_t alignment_ = 32;  // unless the file says otherwise
  bool ran_out_ = false;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_PARSER_H_
