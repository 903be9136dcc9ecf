#include "model/transformer/weight_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/status_macros.h"
#include "model/kernels/weight_strips.h"

namespace heed {
namespace {

// Values of a table above which its rows are read by several threads, and rows at a time.
constexpr int64_t kLargeTable = int64_t{1} << 20;
constexpr int64_t kTableRows = 64;

// A mean relative error of weights beyond this is not what was meant: a few are so large that their
// groups lose the others, or most are too small for half precision. Of weights with a normal
// distribution it is 0.0002, 0.03 and 0.25.
constexpr double kMostError16 = 0.05;
constexpr double kMostError8 = 0.12;
constexpr double kMostError4 = 0.5;

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
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
  HEED_RETURN_IF_ERROR(checkpoint_.Check(name, shape));
  AlignedBuffer table(size);
  HEED_RETURN_IF_ERROR(ReadTable(name, shape, table.span()));
  bytes_ += size * static_cast<int64_t>(sizeof(float));
  CountRead(size);
  return table;
}

absl::Status WeightReader::ReadTable(const std::string& name, absl::Span<const int64_t> shape,
                                     absl::Span<float> out) const {
  const auto size = static_cast<int64_t>(out.size());
  if (size < kLargeTable) return checkpoint_.ReadF32(name, shape, out);
  const int64_t row_size = size / shape.front();
  const WeightRows rows{shape.front(), row_size, [&](int64_t first, absl::Span<float> values) {
                          const auto count = static_cast<int64_t>(values.size()) / row_size;
                          return checkpoint_.ReadRows(name, shape, {first, count}, values);
                        }};
  return ForEachStrip(rows, kTableRows, [&](int64_t first, ConstMatrixRef strip) {
    std::copy_n(strip.data, strip.rows * row_size, out.data() + first * row_size);
    return absl::OkStatus();
  });
}

absl::StatusOr<LookupTable> WeightReader::Embedding(const std::string& name, int64_t rows,
                                                    int64_t width) {
  LookupTable table;
  Request request{LayerSource(checkpoint_, {{name, rows}}, width, false), {}, true};
  if (FormOf(request) == Form::kF32) {
    HEED_ASSIGN_OR_RETURN(table.values, Table(name, {rows, width}));
    return table;
  }
  HEED_ASSIGN_OR_RETURN(table.packed, Make(std::move(request)));
  return table;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Stack(absl::Span<const LinearPart> parts,
                                                            int64_t in, bool has_bias) {
  std::vector<LayerTensor> tensors;
  std::vector<std::string> bias_names;
  for (const LinearPart& part : parts) {
    tensors.push_back({absl::StrCat(part.name, ".weight"), part.rows});
    if (has_bias) bias_names.push_back(absl::StrCat(part.name, ".bias"));
  }
  return Make({LayerSource(checkpoint_, std::move(tensors), in, options_.input_major),
               std::move(bias_names)});
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::StackHeads(const std::string& name,
                                                                 int64_t n_heads, int64_t head_dim,
                                                                 int64_t in, bool has_bias) {
  Request request{
      LayerSource(checkpoint_, {{absl::StrCat(name, ".weight"), 3 * n_heads * head_dim}}, in,
                  options_.input_major),
      {}};
  request.source.SplitHeads(n_heads, head_dim);
  if (has_bias) request.bias_names = {absl::StrCat(name, ".bias")};
  return Make(std::move(request));
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Unembedding(const std::string& name,
                                                                  int64_t rows, int64_t in,
                                                                  const std::string& bias_name) {
  Request request{LayerSource(checkpoint_, {{name, rows}}, in, false), {}, true};
  if (!bias_name.empty()) request.bias_names = {bias_name};
  return Make(std::move(request));
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Make(Request request) {
  const std::string name = request.source.tensors().front().name;
  const int wanted_bits = BitsOf(FormOf(request));
  Form form = FormOf(request);
  double lost = 0;
  HEED_ASSIGN_OR_RETURN(auto linear, options_.packed != nullptr ? TakePacked(request, form, lost)
                                                                : Pack(request, form, lost));
  if (options_.copy != nullptr) {
    options_.copy->Add({name, linear->form(), lost}, *linear);
  }
  NoteBits(name, BitsOf(form), wanted_bits, lost);
  Count(request, *linear, form);
  const int64_t rows = request.source.rows();
  CountRead(rows * request.source.in() + (request.bias_names.empty() ? 0 : rows));
  return linear;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::TakePacked(const Request& request, Form& form,
                                                                 double& lost) {
  PackedLayer entry;
  HEED_ASSIGN_OR_RETURN(
      auto linear,
      options_.packed->Next(request.source.tensors().front().name, request.source.rows(),
                            request.source.in(), !request.bias_names.empty(), backend_, &entry));
  lost = entry.lost;
  if (entry.form.bits != BitsOf(form)) {
    form = entry.form.bits == 32 ? Form::kF32 : Form::kRounded8;
  }
  return linear;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::Pack(Request& request, Form& form,
                                                           double& lost) {
  LayerSource& source = request.source;
  HEED_RETURN_IF_ERROR(source.Prepare(request.bias_names));
  AlignedBuffer bias(request.bias_names.empty() ? 0 : source.rows());
  if (!request.bias_names.empty()) {
    HEED_RETURN_IF_ERROR(source.ReadVector(request.bias_names, bias.span()));
  }
  if (form == Form::kBlocks8 || form == Form::kBlocks4) {
    return PackBlocks(source, form, bias.span());
  }
  return PackWell(source, form, bias.span(), lost);
}

std::string WeightReader::compute_dtype() const {
  const auto most =
      std::max_element(weights_in_.begin(), weights_in_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == weights_in_.end()) return "F32";
  switch (most->first) {
    case Form::kF32:
      return "F32";
    case Form::kF16:
      return "F16";
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
  if (form == Form::kF16) return 16;
  return form == Form::kRounded8 || form == Form::kBlocks8 ? 8 : 4;
}

double WeightReader::MostError(Form form) {
  if (form == Form::kF16) return kMostError16;
  return form == Form::kRounded8 ? kMostError8 : kMostError4;
}

WeightReader::Form WeightReader::FormOf(const Request& request) const {
  if (options_.format == WeightFormat::kF32) return Form::kF32;
  if (options_.format == WeightFormat::kF16) return Form::kF16;
  if (options_.format == WeightFormat::kInt8) {
    return request.is_embedding ? Form::kF16 : Form::kRounded8;
  }
  if (options_.format == WeightFormat::kInt4) {
    return request.is_embedding ? Form::kRounded8 : Form::kRounded4;
  }
  bool all_q8 = true, all_q4 = true;
  for (const LayerTensor& part : request.source.tensors()) {
    const TensorInfo* tensor = checkpoint_.Find(part.name);
    if (tensor == nullptr || IsFloat(tensor->dtype)) return Form::kF32;
    all_q8 = all_q8 && tensor->dtype == DType::kQ8_0;
    all_q4 = all_q4 && tensor->dtype == DType::kQ4_0;
  }
  const bool turned = options_.input_major && !request.is_embedding;
  if (all_q8) return turned ? Form::kRounded8 : Form::kBlocks8;
  if (all_q4) return turned ? Form::kRounded4 : Form::kBlocks4;
  return Form::kRounded8;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightReader::PackBlocks(const LayerSource& source,
                                                                 Form form,
                                                                 absl::Span<const float> bias) {
  const BlockRows blocks{
      BitsOf(form), source.rows(), source.in(),
      [&](int64_t first, absl::Span<char> out) { return source.ReadStored(first, out); }};
  auto linear = backend_.PackBlocks(blocks, bias);
  if (absl::IsInvalidArgument(linear.status())) {
    return absl::DataLossError(absl::StrCat("tensor \"", source.tensors().front().name,
                                            "\": ", linear.status().message()));
  }
  return linear;
}

// Rounds to as few bits as `form` says, or else to as few as do little harm.
absl::StatusOr<std::unique_ptr<Linear>> WeightReader::PackWell(const LayerSource& source,
                                                               Form& form,
                                                               absl::Span<const float> bias,
                                                               double& lost) {
  const WeightRows weight{source.rows(), source.in(), [&](int64_t first, absl::Span<float> out) {
                            return source.Read(first, out);
                          }};
  const int wanted_bits = BitsOf(form);
  while (form != Form::kF32) {
    double error = 0;
    HEED_ASSIGN_OR_RETURN(auto linear, backend_.PackRounded(weight, bias, BitsOf(form), &error));
    if (BitsOf(form) == wanted_bits) lost = error;
    if (error <= MostError(form)) return linear;
    form = form == Form::kRounded4 ? Form::kRounded8 : Form::kF32;
  }
  return backend_.PackLinear(weight, bias);
}

void WeightReader::NoteBits(const std::string& name, int bits, int wanted_bits, double lost) {
  if (bits == wanted_bits) return;
  const std::string reason =
      std::isinf(lost) ? absl::StrFormat("%d cannot hold its largest weights", wanted_bits)
                       : absl::StrFormat("%d would lose %.2g %% of it", wanted_bits, 100 * lost);
  notes_.push_back(absl::StrFormat("holds %s in %d bits: %s", name, bits, reason));
}

void WeightReader::Count(const Request& request, const Linear& linear, Form form) {
  bytes_ += linear.weight_bytes();
  if (!request.is_embedding) weights_in_[form] += linear.in_features() * linear.out_features();
}

void WeightReader::CountRead(int64_t parameters) {
  parameter_count_ += parameters;
  if (options_.progress) options_.progress(parameter_count_);
}

}  // namespace heed
