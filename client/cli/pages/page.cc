#include "client/cli/pages/page.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/output_file.h"
#include "client/cli/base/terminal.h"
#include "client/cli/pictures/colormap.h"

namespace heed::cli {
namespace {

constexpr int kTitleColumns = 60;

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

void WriteStops(JsonWriter& json, bool dark) {
  json.BeginArray();
  for (Rgb stop : WeightStops(dark)) {
    json.BeginArray().Int(stop.red).Int(stop.green).Int(stop.blue).EndArray();
  }
  json.EndArray();
}

void WriteSource(JsonWriter& json, const PageSource& source) {
  json.BeginObject();
  if (!source.model.name.empty()) {
    json.Key("model");
    WriteIdentity(json, source.model);
  }
  json.Key("compute_dtype").String(source.compute_dtype);
  json.Key("definition").String(source.definition);
  json.Key("edits");
  WriteTexts(json, source.edits);
  json.Key("edit_count").Int(source.edit_count);
  json.Key("counterfactual").Bool(source.counterfactual);
  json.EndObject();
}

}  // namespace

std::string MakePage(absl::string_view script, absl::string_view title, absl::string_view data) {
  const std::string escaped_title = EscapeHtml(title);
  const std::array<std::pair<absl::string_view, absl::string_view>, 5> parts = {{
      {"{{TITLE}}", escaped_title},
      {"{{STYLE}}", kPageStyle},
      {"{{DATA}}", data},
      {"{{COMMON}}", kPageScript},
      {"{{SCRIPT}}", script},
  }};
  // Cut at the shell's marks, in their order, rather than replaced one after the other, so that no
  // text can be taken for a mark.
  std::string page;
  absl::string_view rest = kPageShell;
  for (const auto& [mark, text] : parts) {
    const size_t at = rest.find(mark);
    absl::StrAppend(&page, rest.substr(0, at), text);
    rest.remove_prefix(at + mark.size());
  }
  return absl::StrCat(page, rest);
}

PageSource SourceOf(const v1::Provenance& provenance, std::vector<std::string> edits) {
  return {.model = {provenance.model().name(), provenance.model().digest()},
          .compute_dtype = provenance.compute_dtype(),
          .definition = provenance.definition(),
          .edits = std::move(edits),
          .edit_count = provenance.intervention_count(),
          .counterfactual = provenance.counterfactual_mask()};
}

PageSource SourceOf(const ModelIdentity& model, const Provenance& provenance,
                    std::vector<std::string> edits) {
  return {.model = model,
          .compute_dtype = provenance.compute_dtype,
          .definition = provenance.definition,
          .edits = std::move(edits),
          .edit_count = provenance.intervention_count,
          .counterfactual = provenance.counterfactual_mask};
}

Page::Page(const PageSource& source) : json_(out_) {
  json_.BeginObject();
  json_.Key("version").String(HEED_VERSION);
  json_.Key("source");
  WriteSource(json_, source);
  json_.Key("dark_stops");
  WriteStops(json_, true);
  json_.Key("light_stops");
  WriteStops(json_, false);
}

std::string Page::Finish(absl::string_view script, absl::string_view title) {
  json_.EndObject();
  return MakePage(script, title, out_.str());
}

void WriteMatrix(JsonWriter& json, const std::vector<float>& values, size_t columns) {
  json.BeginArray();
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % columns == 0) json.BeginArray();
    json.Float(values[i]);
    if ((i + 1) % columns == 0) json.EndArray();
  }
  json.EndArray();
}

std::string PageTitle(absl::string_view verb, const std::vector<std::string>& visible_tokens) {
  return absl::StrCat("heed ", verb, ": ", Fit(absl::StrJoin(visible_tokens, ""), kTitleColumns));
}

OptionSpec HtmlOption() {
  return {"html", "FILE", "Write one self-contained page to open in a browser."};
}

absl::Status WritePage(const Arguments& arguments, Session& session, const std::string& page) {
  return WriteOutputFile(
      session, arguments.String("html"),
      absl::StrCat(FormatBytes(static_cast<int64_t>(page.size())), ", open it in a browser"),
      [&](std::ostream& file) {
        file << page;
        return absl::OkStatus();
      });
}

}  // namespace heed::cli
