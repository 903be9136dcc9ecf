#include "model/transformer/weight_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {

absl::StatusOr<AlignedBuffer> WeightReader::Table(const std::string& name,
                                                  std::vector<int64_t> shape) {
  int64_t size = 1;
  for (int64_t dim : shape) size *= dim;
  AlignedBuffer table(size);
  HEED_RETURN_IF_ERROR(Read(name, shape, table.span()));
  bytes_ += size * static_cast<int64_t>(sizeof(float));
  return table;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Stack(absl::Span<const LinearPart> parts,
                                                            int64_t in, bool has_bias) {
  int64_t rows = 0;
  for (const LinearPart& part : parts) rows += part.rows;
  AlignedBuffer weight(rows * in);
  AlignedBuffer bias(has_bias ? rows : 0);
  int64_t row = 0;
  for (const LinearPart& part : parts) {
    HEED_RETURN_IF_ERROR(ReadRows(absl::StrCat(part.name, ".weight"), part.rows, in,
                                  weight.span().subspan(row * in, part.rows * in)));
    if (has_bias) {
      HEED_RETURN_IF_ERROR(
          Read(absl::StrCat(part.name, ".bias"), {part.rows}, bias.span().subspan(row, part.rows)));
    }
    row += part.rows;
  }
  return Pack(weight, rows, in, bias);
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Unembedding(const std::string& name,
                                                                  int64_t rows, int64_t in,
                                                                  const std::string& bias_name) {
  AlignedBuffer bias(bias_name.empty() ? 0 : rows);
  if (!bias_name.empty()) HEED_RETURN_IF_ERROR(Read(bias_name, {rows}, bias.span()));
  AlignedBuffer weight(rows * in);
  HEED_RETURN_IF_ERROR(Read(name, {rows, in}, weight.span()));
  return Pack(weight, rows, in, bias);
}

absl::Status WeightReader::Read(const std::string& name, absl::Span<const int64_t> shape,
                                absl::Span<float> out) {
  parameter_count_ += static_cast<int64_t>(out.size());
  return checkpoint_.ReadF32(name, shape, out);
}

// Reads a weight as [rows, in], whichever way round it is stored.
absl::Status WeightReader::ReadRows(const std::string& name, int64_t rows, int64_t in,
                                    absl::Span<float> out) {
  if (!input_major_) return Read(name, {rows, in}, out);
  AlignedBuffer stored(rows * in);
  HEED_RETURN_IF_ERROR(Read(name, {in, rows}, stored.span()));
  // Blocks keep both sides of the transposition in the cache.
  constexpr int64_t kBlock = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
    for (int64_t i = 0; i < in; ++i) {
      const int64_t end = std::min(r0 + kBlock, rows);
      for (int64_t r = r0; r < end; ++r) out[r * in + i] = stored.data()[i * rows + r];
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Pack(const AlignedBuffer& weight,
                                                           int64_t rows, int64_t in,
                                                           const AlignedBuffer& bias) {
  HEED_ASSIGN_OR_RETURN(auto linear, backend_.PackLinear({weight.data(), rows, in}, bias.span()));
  bytes_ += linear->weight_bytes();
  return linear;
}

}  // namespace heed
