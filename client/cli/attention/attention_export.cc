#include "client/cli/attention/attention_export.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/attention/attention_output.h"
#include "client/cli/attention/attention_page.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/npy.h"
#include "client/cli/base/output_file.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {
namespace {

// [queries, keys] of one head as an array of rows.
void WriteHead(JsonWriter& json, const AttentionMaps& maps, int64_t layer, int64_t head) {
  json.BeginArray();
  for (size_t query = 0; query < maps.header.queries.size(); ++query) {
    const int64_t begin = maps.RowOffset(layer, head, static_cast<int64_t>(query));
    WriteFloats(
        json, absl::MakeConstSpan(maps.weights)
                  .subspan(static_cast<size_t>(begin), static_cast<size_t>(maps.header.key_count)));
  }
  json.EndArray();
}

absl::Status Written(std::ostream& out) {
  out.flush();
  return out ? absl::OkStatus() : absl::DataLossError("the file could not be written whole");
}

std::string ShapeText(const AttentionHeader& header) {
  return absl::StrCat("[", header.layers.size(), " layers, ", header.heads.size(), " heads, ",
                      header.queries.size(), " queries, ", header.key_count, " keys]");
}

absl::Status WriteNpyFile(const AttentionMaps& maps, const std::string& path, Session& session) {
  const AttentionHeader& header = maps.header;
  const std::vector<int64_t> shape = {
      static_cast<int64_t>(header.layers.size()), static_cast<int64_t>(header.heads.size()),
      static_cast<int64_t>(header.queries.size()), header.key_count};
  return WriteOutputFile(session, path, absl::StrCat("float32 ", ShapeText(header)),
                         [&](std::ostream& file) { return WriteNpy(file, shape, maps.weights); });
}

absl::Status WriteViewerFile(const AttentionMaps& maps, const std::string& format,
                             const std::string& path, Session& session) {
  if (format == "bertviz") {
    return WriteOutputFile(session, path, absl::StrCat("BertViz JSON ", ShapeText(maps.header)),
                           [&](std::ostream& file) { return WriteBertViz(file, maps); });
  }
  return WriteOutputFile(session, path, absl::StrCat("CircuitsVis JSON ", ShapeText(maps.header)),
                         [&](std::ostream& file) { return WriteCircuitsVis(file, maps); });
}

absl::StatusOr<std::string> ReadAttentionFormat(const Arguments& arguments) {
  return ReadFormat(arguments, {"bertviz", "circuitsvis"});
}

}  // namespace

Export AttentionExport(const AttentionMaps& maps, const std::vector<std::string>& edits) {
  const AttentionHeader& header = maps.header;
  const std::vector<std::string> texts = PlainTexts(header.prompt.tokens);
  Export file;
  file.axes = {NumberAxis("layer", header.layers), NumberAxis("head", header.heads),
               TokenAxis("query", header.queries, texts), TokenAxis("key", texts)};
  file.tensors = {{"weight", maps.weights, {}}};
  AddSource(SourceOf(header.model, header.provenance, edits), texts, &file);
  return file;
}

absl::Status WriteBertViz(std::ostream& out, const AttentionMaps& maps) {
  const AttentionHeader& header = maps.header;
  const std::vector<std::string> texts = PlainTexts(header.prompt.tokens);
  std::vector<std::string> queries;
  for (int64_t query : header.queries) queries.push_back(texts[static_cast<size_t>(query)]);
  JsonWriter json(out);
  json.BeginObject().Key("attention").BeginArray().BeginObject();
  json.Key("name").Null();
  json.Key("attn").BeginArray();
  for (size_t layer = 0; layer < header.layers.size(); ++layer) {
    json.BeginArray();
    for (size_t head = 0; head < header.heads.size(); ++head) {
      WriteHead(json, maps, static_cast<int64_t>(layer), static_cast<int64_t>(head));
    }
    json.EndArray();
  }
  json.EndArray();
  json.Key("left_text");
  WriteTexts(json, queries);
  json.Key("right_text");
  WriteTexts(json, texts);
  json.EndObject().EndArray();
  json.Key("default_filter").String("0");
  json.Key("display_mode").String("light");
  json.Key("root_div_id").String("bertviz");
  json.Key("layer").Null();
  json.Key("heads").Null();
  json.Key("include_layers");
  WriteInts(json, header.layers);
  json.Key("include_heads");
  WriteInts(json, header.heads);
  json.Key("total_heads").Int(static_cast<int64_t>(header.heads.size()));
  json.EndObject();
  json.EndLine();
  return Written(out);
}

absl::Status WriteCircuitsVis(std::ostream& out, const AttentionMaps& maps) {
  const AttentionHeader& header = maps.header;
  if (static_cast<int64_t>(header.queries.size()) != header.key_count) {
    return absl::InvalidArgumentError(
        "CircuitsVis shows every token as a row, and --query leaves some out");
  }
  JsonWriter json(out);
  json.BeginObject().Key("attention").BeginArray();
  std::vector<std::string> names;
  for (size_t layer = 0; layer < header.layers.size(); ++layer) {
    for (size_t head = 0; head < header.heads.size(); ++head) {
      WriteHead(json, maps, static_cast<int64_t>(layer), static_cast<int64_t>(head));
      names.push_back(absl::StrCat("L", header.layers[layer], "H", header.heads[head]));
    }
  }
  json.EndArray();
  json.Key("attentionHeadNames");
  WriteTexts(json, names);
  json.Key("tokens");
  WriteTexts(json, PlainTexts(header.prompt.tokens));
  json.Key("maskUpperTri").Bool(header.causal);
  json.EndObject();
  json.EndLine();
  return Written(out);
}

std::vector<OptionSpec> AttentionFileOptions() {
  return {HtmlOption(),
          {"npy", "FILE", "Write the numbers as float32 [layers, heads, queries, keys]."},
          {"output", "FILE",
           "Write the numbers: FILE.npy, FILE.safetensors, FILE.csv, or as --format says."},
          {"format", "NAME",
           "The format of --output: npy, safetensors, csv, or the JSON that BertViz or CircuitsVis "
           "shows: bertviz, circuitsvis."}};
}

absl::Status CheckAttentionFileOptions(const Arguments& arguments) {
  const auto format = ReadAttentionFormat(arguments);
  if (!format.ok()) return format.status();
  if (*format == "circuitsvis" && arguments.Has("query")) {
    return UsageError(
        "CircuitsVis shows every token as a row, and --query leaves some out; give one of the "
        "two.");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> WriteAttentionFiles(const AttentionMaps& maps,
                                         const std::vector<std::string>& edits,
                                         const Arguments& arguments, Session& session) {
  if (arguments.Has("npy")) {
    absl::Status s = WriteNpyFile(maps, arguments.String("npy"), session);
    if (!s.ok()) return s;
  }
  const auto format = ReadAttentionFormat(arguments);
  if (!format.ok()) return format.status();
  if (*format == "bertviz" || *format == "circuitsvis") {
    absl::Status s = WriteViewerFile(maps, *format, arguments.String("output"), session);
    if (!s.ok()) return s;
  } else if (!format->empty()) {
    absl::Status s =
        WriteExport(arguments.String("output"), session, *format, AttentionExport(maps, edits));
    if (!s.ok()) return s;
  }
  if (arguments.Has("html")) {
    const std::string page = AttentionPage(maps, FirstView(maps), edits);
    absl::Status s = WritePage(arguments, session, page);
    if (!s.ok()) return s;
  }
  return arguments.Has("npy") || arguments.Has("output") || arguments.Has("html");
}

}  // namespace heed::cli
