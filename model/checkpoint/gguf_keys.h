// Typed lookups among the metadata keys of one architecture, "llama.block_count".
#ifndef HEED_MODEL_CHECKPOINT_GGUF_KEYS_H_
#define HEED_MODEL_CHECKPOINT_GGUF_KEYS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/gguf.h"

namespace heed {

// Keys are given without the architecture in front. Remembers which were asked for, so that the
// rest can be refused.
class GgufKeys {
 public:
  // Both are borrowed.
  GgufKeys(const GgufHeader& header, absl::string_view architecture)
      : header_(header), architecture_(architecture) {}

  std::optional<GgufValue> Find(absl::string_view key);
  // INVALID_ARGUMENT when there is none.
  absl::StatusOr<GgufValue> Get(absl::string_view key);

  // INVALID_ARGUMENT when the key is missing and there is no fallback, or the value is not in the
  // range.
  absl::StatusOr<int64_t> Int(absl::string_view key, IntRange range,
                              std::optional<int64_t> fallback = std::nullopt);
  absl::StatusOr<double> Double(absl::string_view key, DoubleRange range,
                                std::optional<double> fallback = std::nullopt);

  // INVALID_ARGUMENT when it is no bool.
  absl::StatusOr<bool> Bool(absl::string_view key, bool fallback);

  // One number for all layers, or an array with one for each, which must then be the same.
  absl::StatusOr<int64_t> IntForAllLayers(absl::string_view key, IntRange range, int64_t n_layers,
                                          std::optional<int64_t> fallback = std::nullopt);

  // UNIMPLEMENTED when the key is there with another value.
  absl::Status RequireInt(absl::string_view key, int64_t only);
  absl::Status RequireDouble(absl::string_view key, double only);
  absl::Status RequireBool(absl::string_view key, bool only);

  // Keys that change nothing.
  void Ignore(absl::string_view key) { Find(key); }
  // UNIMPLEMENTED when the architecture has a key that nobody has asked for.
  absl::Status RefuseTheRest() const;

 private:
  std::string FullName(absl::string_view key) const;

  const GgufHeader& header_;
  const absl::string_view architecture_;
  std::set<std::string> asked_;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_KEYS_H_
