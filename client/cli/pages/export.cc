#include "client/cli/pages/export.h"

#include <bit>
#include <cmath>
#include <sstream>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/npy.h"
#include "client/cli/base/output_file.h"

namespace heed::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

std::vector<int64_t> ShapeOf(const Export& data) {
  std::vector<int64_t> shape;
  for (const ExportAxis& axis : data.axes) {
    shape.push_back(static_cast<int64_t>(axis.labels.size()));
  }
  return shape;
}

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string field = "\"";
  for (char c : text) field.append(c == '"' ? 2 : 1, c);
  return field + "\"";
}

std::string CsvNumber(float value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::ostringstream out;
  JsonWriter(out).Float(value);
  return out.str();
}

// The tensors of a safetensors file, in the order of their data.
std::vector<std::pair<const ExportTensor*, std::vector<int64_t>>> AllTensors(const Export& data) {
  std::vector<std::pair<const ExportTensor*, std::vector<int64_t>>> all;
  for (const ExportTensor& tensor : data.tensors) all.emplace_back(&tensor, ShapeOf(data));
  for (const ExportTensor& tensor : data.others) all.emplace_back(&tensor, tensor.shape);
  return all;
}

std::string SafetensorsHeader(const Export& data) {
  std::ostringstream out;
  JsonWriter json(out);
  json.BeginObject().Key("__metadata__").BeginObject();
  for (const auto& [key, value] : data.metadata) json.Key(key).String(value);
  json.EndObject();
  int64_t offset = 0;
  for (const auto& [tensor, shape] : AllTensors(data)) {
    const auto bytes = static_cast<int64_t>(tensor->values.size() * sizeof(float));
    json.Key(tensor->name).BeginObject().Key("dtype").String("F32").Key("shape");
    WriteInts(json, shape);
    json.Key("data_offsets").BeginArray().Int(offset).Int(offset + bytes).EndArray().EndObject();
    offset += bytes;
  }
  json.EndObject();
  std::string header = out.str();
  header.append((8 - header.size() % 8) % 8, ' ');  // so that the data is aligned
  return header;
}

absl::Status Written(std::ostream& out) {
  out.flush();
  return out ? absl::OkStatus() : absl::DataLossError("the file could not be written whole");
}

// "float32 [4 layers, 6 heads]".
std::string Describe(const Export& data, const std::string& format) {
  std::vector<std::string> sizes;
  for (const ExportAxis& axis : data.axes) {
    const auto size = static_cast<int64_t>(axis.labels.size());
    const bool queries = size != 1 && axis.name == "query";
    sizes.push_back(queries ? absl::StrCat(size, " queries") : Plural(size, axis.name));
  }
  const size_t count = data.tensors.size() + data.others.size();
  const std::string what = absl::StrCat("[", absl::StrJoin(sizes, ", "), "]");
  if (format == "npy") return absl::StrCat("float32 ", what);
  return format == "csv"
             ? absl::StrCat("CSV ", what)
             : absl::StrCat("safetensors, ", Plural(static_cast<int64_t>(count), "tensor"));
}

}  // namespace

ExportAxis TokenAxis(std::string name, const std::vector<std::string>& texts) {
  ExportAxis axis{std::move(name), {}, texts};
  for (size_t i = 0; i < texts.size(); ++i) axis.labels.push_back(absl::StrCat(i));
  return axis;
}

std::string JsonTexts(const std::vector<std::string>& texts) {
  std::ostringstream out;
  JsonWriter json(out);
  WriteTexts(json, texts);
  return out.str();
}

void AddSource(const PageSource& source, const std::vector<std::string>& texts, Export* data) {
  data->metadata["model"] = source.model.name;
  data->metadata["digest"] = source.model.digest;
  data->metadata["heed_version"] = HEED_VERSION;
  if (!source.definition.empty()) data->metadata["definition"] = source.definition;
  if (!source.compute_dtype.empty()) data->metadata["compute_dtype"] = source.compute_dtype;
  if (!source.edits.empty()) data->metadata["edits"] = JsonTexts(source.edits);
  data->metadata["edit_count"] = absl::StrCat(source.edit_count);
  data->metadata["counterfactual"] = source.counterfactual ? "true" : "false";
  data->metadata["tokens"] = JsonTexts(texts);
  std::vector<std::string> names;
  for (const ExportAxis& axis : data->axes) {
    names.push_back(axis.name);
    data->metadata[absl::StrCat(axis.name, "_labels")] = JsonTexts(axis.labels);
  }
  data->metadata["axes"] = JsonTexts(names);
  for (const ExportTexts& texts : data->texts) data->metadata[texts.name] = JsonTexts(texts.texts);
}

absl::Status WriteSafetensors(std::ostream& out, const Export& data) {
  const std::string header = SafetensorsHeader(data);
  const uint64_t size = header.size();
  out.write(reinterpret_cast<const char*>(&size), sizeof(size));
  out << header;
  for (const auto& [tensor, shape] : AllTensors(data)) {
    out.write(reinterpret_cast<const char*>(tensor->values.data()),
              static_cast<std::streamsize>(tensor->values.size() * sizeof(float)));
  }
  return Written(out);
}

absl::Status WriteCsv(std::ostream& out, const Export& data) {
  std::vector<std::string> names;
  for (const ExportAxis& axis : data.axes) {
    names.push_back(CsvField(axis.name));
    if (!axis.texts.empty()) names.push_back(CsvField(axis.name + "_token"));
  }
  for (const ExportTexts& texts : data.texts) names.push_back(CsvField(texts.name));
  for (const ExportTensor& tensor : data.tensors) names.push_back(CsvField(tensor.name));
  out << absl::StrJoin(names, ",") << "\r\n";
  const std::vector<int64_t> shape = ShapeOf(data);
  int64_t rows = 1;
  for (int64_t size : shape) rows *= size;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t stride = rows;
    int64_t rest = row;
    for (size_t i = 0; i < data.axes.size(); ++i) {
      stride /= shape[i];
      const auto at = static_cast<size_t>(rest / stride);
      rest %= stride;
      out << (i == 0 ? "" : ",") << CsvField(data.axes[i].labels[at]);
      if (!data.axes[i].texts.empty()) out << "," << CsvField(data.axes[i].texts[at]);
    }
    for (const ExportTexts& texts : data.texts) {
      out << "," << CsvField(texts.texts[static_cast<size_t>(row)]);
    }
    for (const ExportTensor& tensor : data.tensors) {
      out << "," << CsvNumber(tensor.values[static_cast<size_t>(row)]);
    }
    out << "\r\n";
  }
  return Written(out);
}

std::vector<OptionSpec> FileOptions() {
  return {HtmlOption(),
          {"output", "FILE", "Write the numbers: FILE.npy, FILE.safetensors or FILE.csv."},
          {"format", "NAME", "The format of --output, whatever the name: npy, safetensors, csv."}};
}

absl::StatusOr<std::string> ReadFormat(const Arguments& arguments,
                                       const std::vector<std::string>& more) {
  std::vector<std::string> formats = {"npy", "safetensors", "csv"};
  formats.insert(formats.end(), more.begin(), more.end());
  const std::string names = absl::StrJoin(formats, ", ");
  if (!arguments.Has("output")) {
    if (!arguments.Has("format")) return std::string();
    return UsageError("--format is the format of --output; give a file.");
  }
  if (arguments.Has("format")) {
    const std::string format = arguments.String("format");
    if (absl::c_linear_search(formats, format)) return format;
    return UsageError(absl::StrCat("--format=", format, " is not one of ", names, "."));
  }
  const std::string path = arguments.String("output");
  for (const char* format : {"npy", "safetensors", "csv"}) {
    if (absl::EndsWith(path, absl::StrCat(".", format))) return format;
  }
  return UsageError(absl::StrCat("--output=", path, " does not end like a format.\nAdd --format, ",
                                 "one of ", names, "."));
}

absl::Status CheckFileOptions(const Arguments& arguments) {
  return ReadFormat(arguments).status();
}

absl::Status WriteExport(const std::string& path, Session& session, const std::string& format,
                         const Export& data) {
  return WriteOutputFile(session, path, Describe(data, format), [&](std::ostream& file) {
    if (format == "csv") return WriteCsv(file, data);
    if (format == "safetensors") return WriteSafetensors(file, data);
    return WriteNpy(file, ShapeOf(data), data.tensors.front().values);
  });
}

absl::StatusOr<bool> WroteFiles(const Arguments& arguments, Session& session,
                                absl::FunctionRef<std::string()> page,
                                absl::FunctionRef<Export()> data) {
  if (arguments.Has("html")) {
    if (absl::Status s = WritePage(arguments, session, page()); !s.ok()) return s;
  }
  const auto format = ReadFormat(arguments);
  if (!format.ok()) return format.status();
  if (!format->empty()) {
    absl::Status s = WriteExport(arguments.String("output"), session, *format, data());
    if (!s.ok()) return s;
  }
  return !session.json() && (arguments.Has("html") || arguments.Has("output"));
}

}  // namespace heed::cli
