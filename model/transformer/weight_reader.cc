#include "model/transformer/weight_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

// A mean relative error of weights beyond this is not what was meant: a few are so large that their
// groups lose the others. Of weights with a normal distribution it is 0.03 and 0.25.
constexpr double kMostError8 = 0.12;
constexpr double kMostError4 = 0.5;

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

std::string WeightName(absl::string_view layer) {
  return absl::StrCat(layer, ".weight");
}

}  // namespace

void LookupTable::CopyRow(int64_t row, absl::Span<float> out) const {
  if (packed != nullptr) return packed->CopyWeightRow(row, out);
  std::copy_n(values.data() + row * static_cast<int64_t>(out.size()), out.size(), out.begin());
}

absl::StatusOr<AlignedBuffer> WeightReader::Table(const std::string& name,
                                                  std::vector<int64_t> shape) {
  int64_t size = 1;
  for (int64_t dim : shape) size *= dim;
  AlignedBuffer table(size);
  HEED_RETURN_IF_ERROR(Read(name, shape, table.span()));
  bytes_ += size * static_cast<int64_t>(sizeof(float));
  return table;
}

absl::StatusOr<LookupTable> WeightReader::Embedding(const std::string& name, int64_t rows,
                                                    int64_t width) {
  LookupTable table;
  const Form form = FormOf({name}, /*is_embedding=*/true);
  if (form == Form::kF32) {
    HEED_ASSIGN_OR_RETURN(table.values, Table(name, {rows, width}));
    return table;
  }
  HEED_ASSIGN_OR_RETURN(table.packed, Unembedding(name, rows, width, ""));
  return table;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Stack(absl::Span<const LinearPart> parts,
                                                            int64_t in, bool has_bias) {
  int64_t rows = 0;
  std::vector<std::string> names;
  for (const LinearPart& part : parts) {
    rows += part.rows;
    names.push_back(WeightName(part.name));
  }
  const Form form = FormOf(names, /*is_embedding=*/false);
  const bool is_blocks = form == Form::kBlocks8 || form == Form::kBlocks4;
  BlockRows blocks(is_blocks ? BitsOf(form) : 8, is_blocks ? rows : 0, in);
  AlignedBuffer weight(is_blocks ? 0 : rows * in);
  AlignedBuffer bias(has_bias ? rows : 0);
  int64_t row = 0;
  for (const LinearPart& part : parts) {
    const std::string name = WeightName(part.name);
    HEED_RETURN_IF_ERROR(
        is_blocks ? ReadBlocks(name, part.rows, row, blocks)
                  : ReadRows(name, part.rows, in, weight.span().subspan(row * in, part.rows * in)));
    if (has_bias) {
      HEED_RETURN_IF_ERROR(
          Read(absl::StrCat(part.name, ".bias"), {part.rows}, bias.span().subspan(row, part.rows)));
    }
    row += part.rows;
  }
  return is_blocks ? PackBlocks(names.front(), blocks, form, bias.span())
                   : PackF32(names.front(), weight, rows, in, form, bias.span());
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
  Form form = FormOf({WeightName(name)}, /*is_embedding=*/false);
  // Blocks would have to change places.
  if (form == Form::kBlocks8) form = Form::kRounded8;
  if (form == Form::kBlocks4) form = Form::kRounded4;
  return PackF32(WeightName(name), weight, rows, in, form, bias.span());
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Unembedding(const std::string& name,
                                                                  int64_t rows, int64_t in,
                                                                  const std::string& bias_name) {
  AlignedBuffer bias(bias_name.empty() ? 0 : rows);
  if (!bias_name.empty()) HEED_RETURN_IF_ERROR(Read(bias_name, {rows}, bias.span()));
  const Form form = FormOf({name}, /*is_embedding=*/true);
  if (form == Form::kBlocks8 || form == Form::kBlocks4) {
    BlockRows blocks(BitsOf(form), rows, in);
    HEED_RETURN_IF_ERROR(ReadBlocks(name, rows, 0, blocks));
    return PackBlocks(name, blocks, form, bias.span());
  }
  AlignedBuffer weight(rows * in);
  HEED_RETURN_IF_ERROR(Read(name, {rows, in}, weight.span()));
  return PackF32(name, weight, rows, in, form, bias.span());
}

std::string WeightReader::compute_dtype() const {
  const auto most =
      std::max_element(weights_in_.begin(), weights_in_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == weights_in_.end()) return "F32";
  switch (most->first) {
    case Form::kF32:
      return "F32";
    case Form::kRounded8:
      return "INT8";
    case Form::kRounded4:
      return "INT4";
    case Form::kBlocks8:
      return "Q8_0";
    case Form::kBlocks4:
      return "Q4_0";
  }
  return "F32";
}

int WeightReader::BitsOf(Form form) {
  if (form == Form::kF32) return 32;
  return form == Form::kRounded8 || form == Form::kBlocks8 ? 8 : 4;
}

WeightReader::Form WeightReader::FormOf(absl::Span<const std::string> names,
                                        bool is_embedding) const {
  if (format_ == WeightFormat::kF32) return Form::kF32;
  if (format_ == WeightFormat::kInt8) return Form::kRounded8;
  if (format_ == WeightFormat::kInt4) return is_embedding ? Form::kRounded8 : Form::kRounded4;
  bool all_q8 = true, all_q4 = true;
  for (const std::string& name : names) {
    const TensorInfo* tensor = checkpoint_.Find(name);
    if (tensor == nullptr || IsFloat(tensor->dtype)) return Form::kF32;
    all_q8 = all_q8 && tensor->dtype == DType::kQ8_0;
    all_q4 = all_q4 && tensor->dtype == DType::kQ4_0;
  }
  const bool turned = input_major_ && !is_embedding;
  if (all_q8) return turned ? Form::kRounded8 : Form::kBlocks8;
  if (all_q4) return turned ? Form::kRounded4 : Form::kBlocks4;
  return Form::kRounded8;
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

absl::Status WeightReader::ReadBlocks(const std::string& name, int64_t rows, int64_t first,
                                      BlockRows& out) {
  const int64_t row_bytes = out.matrix.row_bytes();
  parameter_count_ += rows * out.matrix.cols;
  return checkpoint_.ReadStored(
      name, absl::MakeSpan(out.bytes).subspan(first * row_bytes, rows * row_bytes));
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::PackBlocks(const std::string& name,
                                                                 const BlockRows& blocks, Form form,
                                                                 absl::Span<const float> bias) {
  absl::StatusOr<std::unique_ptr<Linear>> linear = backend_.PackBlocks(blocks.matrix, bias);
  if (!linear.ok()) {
    return absl::DataLossError(absl::StrCat("tensor \"", name, "\": ", linear.status().message()));
  }
  Count(**linear, form);
  return linear;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::PackF32(const std::string& name,
                                                              const AlignedBuffer& weight,
                                                              int64_t rows, int64_t in, Form form,
                                                              absl::Span<const float> bias) {
  HEED_ASSIGN_OR_RETURN(auto linear, PackWell(name, {weight.data(), rows, in}, form, bias));
  Count(*linear, form);
  return linear;
}

// Rounds to as few bits as `form` says, or else to as few as do little harm.
absl::StatusOr<std::unique_ptr<Linear>> WeightReader::PackWell(const std::string& name,
                                                               ConstMatrixRef weight, Form& form,
                                                               absl::Span<const float> bias) {
  const int wanted_bits = BitsOf(form);
  double first_error = 0;
  while (form != Form::kF32) {
    const bool is_4 = form == Form::kRounded4;
    double error = 0;
    HEED_ASSIGN_OR_RETURN(auto linear, backend_.PackRounded(weight, bias, BitsOf(form), &error));
    if (BitsOf(form) == wanted_bits) first_error = error;
    if (error <= (is_4 ? kMostError4 : kMostError8)) {
      NoteBits(name, BitsOf(form), wanted_bits, first_error);
      return linear;
    }
    form = is_4 ? Form::kRounded8 : Form::kF32;
  }
  NoteBits(name, BitsOf(form), wanted_bits, first_error);
  return backend_.PackLinear(weight, bias);
}

void WeightReader::NoteBits(const std::string& name, int bits, int wanted_bits, double error) {
  if (bits == wanted_bits) return;
  notes_.push_back(absl::StrFormat("holds %s in %d bits: %d would lose %.0f %% of it", name, bits,
                                   wanted_bits, 100 * error));
}

void WeightReader::Count(const Linear& linear, Form form) {
  bytes_ += linear.weight_bytes();
  weights_in_[form] += linear.in_features() * linear.out_features();
}

}  // namespace heed
