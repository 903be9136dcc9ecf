#include "model/transformer/weight_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

// [n_heads][3][head_floats] to [3][n_heads][head_floats].
void GatherHeads(absl::Span<const float> from, int64_t n_heads, int64_t head_floats,
                 absl::Span<float> to) {
  for (int64_t head = 0; head < n_heads; ++head) {
    for (int64_t part = 0; part < 3; ++part) {
      std::copy_n(from.data() + (head * 3 + part) * head_floats, head_floats,
                  to.data() + (part * n_heads + head) * head_floats);
    }
  }
}

}  // namespace

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

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::StackHeads(const std::string& name,
                                                                 int64_t n_heads, int64_t head_dim,
                                                                 int64_t in, bool has_bias) {
  const int64_t rows = 3 * n_heads * head_dim;
  AlignedBuffer stored(rows * in), weight(rows * in);
  HEED_RETURN_IF_ERROR(ReadRows(absl::StrCat(name, ".weight"), rows, in, stored.span()));
  GatherHeads(stored.span(), n_heads, head_dim * in, weight.span());
  AlignedBuffer bias(has_bias ? rows : 0);
  if (has_bias) {
    AlignedBuffer stored_bias(rows);
    HEED_RETURN_IF_ERROR(Read(absl::StrCat(name, ".bias"), {rows}, stored_bias.span()));
    GatherHeads(stored_bias.span(), n_heads, head_dim, bias.span());
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
