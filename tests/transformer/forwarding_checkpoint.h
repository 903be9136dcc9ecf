// A checkpoint that passes everything on to another; tests override what they change or watch.
#ifndef HEED_TESTS_TRANSFORMER_FORWARDING_CHECKPOINT_H_
#define HEED_TESTS_TRANSFORMER_FORWARDING_CHECKPOINT_H_

#include <functional>
#include <string>

#include "model/checkpoint/checkpoint.h"

namespace heed {

class ForwardingCheckpoint : public Checkpoint {
 public:
  // `checkpoint` must outlive this.
  explicit ForwardingCheckpoint(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  const ModelConfig& config() const override { return checkpoint_.config(); }
  const TensorInfo* Find(absl::string_view name) const override { return checkpoint_.Find(name); }
  absl::Status Check(absl::string_view name, absl::Span<const int64_t> shape) const override {
    return checkpoint_.Check(name, shape);
  }
  absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape, RowRange rows,
                        absl::Span<float> out) const override {
    return checkpoint_.ReadRows(name, shape, rows, out);
  }
  absl::Status ReadStoredRows(absl::string_view name, RowRange rows,
                              absl::Span<char> out) const override {
    return checkpoint_.ReadStoredRows(name, rows, out);
  }
  const std::string& digest() const override { return checkpoint_.digest(); }
  absl::StatusOr<std::string> ComputeDigest(
      const std::function<void(int64_t done, int64_t total)>& progress,
      const StopSignal& stop) const override {
    return checkpoint_.ComputeDigest(progress, stop);
  }
  const std::string& stamp() const override { return checkpoint_.stamp(); }
  DType dtype() const override { return checkpoint_.dtype(); }
  const std::string& tokenizer_json() const override { return checkpoint_.tokenizer_json(); }

 private:
  const Checkpoint& checkpoint_;
};

}  // namespace heed

#endif  // HEED_TESTS_TRANSFORMER_FORWARDING_CHECKPOINT_H_
